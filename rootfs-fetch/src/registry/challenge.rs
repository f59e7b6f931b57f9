//! What a server wants before it answers: the challenges in `WWW-Authenticate`, as RFC 9110 has them
//! in section 11.6.1. A comma stands between challenges as well as between what one of them says.

/// A challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    scheme: String,
    /// Names, in small letters, and values.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Whether it is of this kind; case means nothing.
    pub(crate) fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// What it says under this name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// All challenges of one header, up to what cannot be understood.
pub(crate) fn challenges(header: &[u8]) -> Vec<Challenge> {
    let mut text = Text(header);
    let mut found = Vec::new();
    while let Some(challenge) = text.challenge() {
        found.push(challenge);
    }
    found
}

/// What is left to read.
#[derive(Clone, Copy)]
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !wanted(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn blanks(&mut self) -> &'a [u8] {
        self.take_while(|byte| matches!(byte, b' ' | b'\t'))
    }

    /// A word; `None` where there is something else.
    fn word(&mut self) -> Option<String> {
        let special = b"()<>@,;:\\\"/[]?={}";
        let word = self.take_while(|byte| byte.is_ascii_graphic() && !special.contains(&byte));
        if word.is_empty() { None } else { Some(string(word)) }
    }

    fn challenge(&mut self) -> Option<Challenge> {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b','));
        let scheme = self.word()?;
        if !self.blanks().is_empty() {
            self.token();
        }
        let mut parameters = Vec::new();
        loop {
            let mut ahead = *self;
            ahead.take_while(|byte| matches!(byte, b' ' | b'\t' | b','));
            let name = ahead.word();
            ahead.blanks();
            // Where no value follows, the next challenge begins.
            let (Some(name), Some(rest)) = (name, ahead.0.strip_prefix(b"=")) else { break };
            ahead.0 = rest;
            ahead.blanks();
            let value = ahead.value()?;
            parameters.push((name.to_ascii_lowercase(), value));
            *self = ahead;
        }
        Some(Challenge { scheme, parameters })
    }

    /// Passes over a lone value of letters and digits, which ends in any number of `=`.
    fn token(&mut self) {
        let mut ahead = *self;
        ahead.take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        ahead.take_while(|byte| byte == b'=');
        ahead.blanks();
        if ahead.0.is_empty() || ahead.0.starts_with(b",") {
            *self = ahead;
        }
    }

    /// A value, quoted or not; `None` when the quotes do not end.
    fn value(&mut self) -> Option<String> {
        let Some(mut rest) = self.0.strip_prefix(b"\"") else {
            return Some(string(self.take_while(|byte| !matches!(byte, b' ' | b'\t' | b','))));
        };
        let mut value = Vec::new();
        loop {
            let (byte, escaped) = match rest {
                [b'\\', byte, ..] => (*byte, true),
                [byte, ..] => (*byte, false),
                [] => return None,
            };
            rest = &rest[if escaped { 2 } else { 1 }..];
            if byte == b'"' && !escaped {
                self.0 = rest;
                return Some(string(&value));
            }
            value.push(byte);
        }
    }
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Vec<String> {
        let one = |challenge: &Challenge| {
            let says = |(name, value): &(String, String)| format!(" {name}={value}");
            challenge.scheme.clone() + &challenge.parameters.iter().map(says).collect::<String>()
        };
        challenges(header.as_bytes()).iter().map(one).collect()
    }

    #[test]
    fn challenges_are_told_apart_whatever_they_say() {
        for (header, expected) in [
            (r#"Bearer realm="a",service=b"#, &["Bearer realm=a service=b"][..]),
            (
                r#"Basic realm="x, Bearer y", Bearer realm=z"#,
                &["Basic realm=x, Bearer y", "Bearer realm=z"],
            ),
            ("Negotiate, NTLM,Bearer realm=z", &["Negotiate", "NTLM", "Bearer realm=z"]),
            ("Negotiate YWI/+w==, Bearer realm=z", &["Negotiate", "Bearer realm=z"]),
            ("Negotiate YWI= , Bearer realm=z", &["Negotiate", "Bearer realm=z"]),
            (
                "Newauth realm=\"a\", type=1, title=\"Login to \\\"b\\\"\", Basic realm=\"c\"",
                &["Newauth realm=a type=1 title=Login to \"b\"", "Basic realm=c"],
            ),
            (", ,bearer   REALM = \"a\\\\b\" ,, Service\t=\tc,", &["bearer realm=a\\b service=c"]),
            (
                "Bearer realm=https://a.test/t,scope=\"a:b c:d\"",
                &["Bearer realm=https://a.test/t scope=a:b c:d"],
            ),
            ("Bearer realm=\"\", Basic", &["Bearer realm=", "Basic"]),
            ("Basic realm=x, Bearer realm=\"", &["Basic realm=x"]),
            ("", &[]),
            ("\"", &[]),
        ] {
            assert_eq!(read(header), expected, "{header}");
        }
    }
}
