//! Values that are one word, on the command line and in YAML alike.

/// Reads a type from YAML, where it is a text or a number, as its `FromStr` reads it from the command
/// line: one check, one set of words, at every door. And writes it as its `Display` does.
macro_rules! scalar {
    ($($Type:ty),* $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $Type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<$Type, D::Error> {
                let word = crate::scalar::Word::deserialize(from)?;
                word.text().parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $Type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    )*};
}

pub(crate) use scalar;

/// One word of YAML.
#[derive(serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum Word {
    Whole(i64),
    Fraction(f64),
    Text(String),
}

impl Word {
    pub(crate) fn text(self) -> String {
        match self {
            Word::Whole(number) => number.to_string(),
            Word::Fraction(number) => number.to_string(),
            Word::Text(text) => text,
        }
    }
}
