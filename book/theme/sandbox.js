// Command blocks: copying the commands, and, when `sandbox book` serves the page, running the part
// of a lesson that a block carries, and a terminal in it.
'use strict';

(() => {
  const root = typeof path_to_root === 'string' ? path_to_root : '';
  const noKey = 'the server knows this page no more: open the address that `sandbox book` printed';
  const served = document.querySelector('meta[name="sandbox"]')?.content.split(' ') ?? [];

  // The page scrolls wide blocks, so the keyboard must reach them.
  for (const block of document.querySelectorAll('main pre, main .table-wrapper')) {
    if (!block.closest('.xterm')) block.tabIndex = 0;
  }

  for (const code of document.querySelectorAll('code.language-console')) {
    const block = code.closest('pre');
    // mdBook's own button would copy the prompts and the output as well.
    block.querySelector('.buttons')?.remove();
    const commands = commandsOf(code.textContent);
    const part = [...code.classList].find((name) => name.startsWith('part='))?.slice(5);
    const bar = element('div', { className: 'sandbox-bar' });
    const status = element('span', { className: 'sandbox-status', role: 'status' });
    if (commands !== '') bar.append(button('Copy', 'Copy the commands', () => copy(commands, status)));
    if (part && served.includes('run')) {
      bar.append(button('Run', `Run the part ${part} on this machine`, (event) =>
        run(part, bar, event.currentTarget, status)));
    }
    if (part && served.includes('terminal')) {
      bar.append(button('Terminal', `Open a shell in the sandbox of the part ${part}`, (event) =>
        openTerminal(part, bar, event.currentTarget, status)));
    }
    if (bar.childElementCount === 0) continue;
    bar.append(status);
    block.after(bar);
  }

  function element(tag, properties) {
    return Object.assign(document.createElement(tag), properties);
  }

  function button(text, label, act) {
    const made = element('button', { type: 'button', textContent: text, title: label });
    made.setAttribute('aria-label', label);
    made.addEventListener('click', act);
    return made;
  }

  // What stands after the prompts, with the lines that continue it.
  function commandsOf(text) {
    const commands = [];
    let continues = false;
    for (const line of text.split('\n')) {
      const prompt = /^[$#>] /.exec(line);
      if (continues || prompt) {
        const command = continues ? line.replace(/^> /, '') : line.slice(2);
        commands.push(command);
        continues = command.endsWith('\\');
      }
    }
    return commands.join('\n');
  }

  async function copy(text, status) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Only pages of this machine and https may use the clipboard directly.
      const field = element('textarea', { value: text, className: 'sandbox-hidden' });
      document.body.append(field);
      field.select();
      document.execCommand('copy');
      field.remove();
    }
    status.textContent = 'copied';
    setTimeout(() => { if (status.textContent === 'copied') status.textContent = ''; }, 2000);
  }

  // A place below a block, made when it is first needed.
  function place(bar, name, label) {
    let found = bar.parentElement.querySelector(`:scope > .${name}[data-of="${bar.dataset.id ??= nextId()}"]`);
    if (!found) {
      found = element('section', { className: name });
      found.dataset.of = bar.dataset.id;
      found.setAttribute('aria-label', label);
      bar.after(found);
    }
    return found;
  }

  function nextId() {
    nextId.last = (nextId.last ?? 0) + 1;
    return String(nextId.last);
  }

  async function run(part, bar, pressed, status) {
    pressed.disabled = true;
    let started = Date.now();
    let says = 'waiting';
    const show = () => { status.textContent = says; };
    // Seen, and not read aloud every second.
    const seconds = element('span', { className: 'sandbox-status', ariaHidden: 'true' });
    status.after(seconds);
    const clock = setInterval(() => {
      const passed = Math.round((Date.now() - started) / 1000);
      seconds.textContent = says === 'running' ? `${passed} s` : '';
    }, 1000);
    show();
    try {
      const answer = await fetch(`${root}run`, {
        method: 'POST',
        body: new URLSearchParams({ part }),
      });
      if (answer.status === 403) throw new Error(noKey);
      if (!answer.ok) throw new Error((await answer.text()).slice(0, 200));
      let finished = false;
      for await (const told of lines(answer.body)) {
        if (told.waiting) says = `waiting: ${told.waiting} before you`;
        if (told.running) { says = 'running'; started = Date.now(); }
        if (told.error) throw new Error(told.error);
        if (told.html) { finished = true; result(part, bar, told.html); says = 'done'; }
        show();
      }
      if (!finished) throw new Error('the server ended before the part did');
    } catch (error) {
      status.textContent = `failed: ${error.message}`;
    } finally {
      clearInterval(clock);
      seconds.remove();
      pressed.disabled = false;
    }
  }

  async function* lines(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const all = (rest + value).split('\n');
      rest = all.pop();
      for (const line of all) yield JSON.parse(line);
    }
  }

  function result(part, bar, html) {
    const live = place(bar, 'sandbox-live', `What ${part} showed on this machine`);
    live.innerHTML = html;
    const now = new Date().toLocaleTimeString();
    live.prepend(element('p', { className: 'sandbox-when', textContent: `On this machine, ${now}` }));
    for (const block of live.querySelectorAll('pre')) block.tabIndex = 0;
    const recorded = live.parentElement.querySelector(`:scope > [data-part="${part}"]`);
    if (recorded && !recorded.querySelector('.sandbox-when')) {
      const when = 'When the book was made, on Debian 12 as an ordinary user';
      recorded.prepend(element('p', { className: 'sandbox-when', textContent: when }));
    }
  }

  // xterm.js is large, so it is loaded when somebody wants a terminal.
  async function openTerminal(part, bar, pressed, status) {
    pressed.disabled = true;
    status.textContent = 'opening';
    const section = place(bar, 'sandbox-terminal', `A shell in the sandbox of ${part}`);
    section.replaceChildren();
    try {
      const base = new URL(`${root}xterm/`, location.href);
      if (!document.querySelector('link[data-xterm]')) {
        const style = element('link', { rel: 'stylesheet', href: `${base}xterm.css` });
        style.dataset.xterm = '';
        document.head.append(style);
      }
      const [{ Terminal }, { FitAddon }] =
        await Promise.all([import(`${base}xterm.mjs`), import(`${base}addon-fit.mjs`)]);
      const screen = element('div', { className: 'sandbox-screen' });
      const help = element('p', {
        className: 'sandbox-help',
        textContent: 'A shell on a stand-in host: break what you like. Shift+Tab leaves the ' +
          'terminal. It ends with exit, with the button below, or with this page.',
      });
      const stop = button('End', `End the shell of ${part}`, () => socket.close());
      section.append(help, screen, stop);
      const terminal = new Terminal({ screenReaderMode: true, rows: 18, fontSize: 14 });
      const fit = new FitAddon();
      terminal.loadAddon(fit);
      terminal.open(screen);
      fit.fit();
      const url = new URL(`${root}terminal`, location.href);
      url.protocol = 'ws:';
      url.searchParams.set('part', part);
      const socket = new WebSocket(url);
      socket.binaryType = 'arraybuffer';
      const encoder = new TextEncoder();
      const tellSize = () => {
        if (socket.readyState === WebSocket.OPEN) {
          socket.send(JSON.stringify({ columns: terminal.cols, rows: terminal.rows }));
        }
      };
      const refit = new ResizeObserver(() => fit.fit());
      refit.observe(screen);
      terminal.onResize(tellSize);
      // In pieces, as the server takes no message that is larger.
      terminal.onData((typed) => {
        const bytes = encoder.encode(typed);
        for (let at = 0; at < bytes.length && socket.readyState === WebSocket.OPEN; at += 32768) {
          socket.send(bytes.subarray(at, at + 32768));
        }
      });
      terminal.attachCustomKeyEventHandler((event) => {
        if (event.key !== 'Tab' || !event.shiftKey) return true;
        if (event.type === 'keydown') stop.focus();
        event.preventDefault();
        return false;
      });
      let opened = false;
      socket.onopen = () => {
        opened = true;
        status.textContent = '';
        section.scrollIntoView({ block: 'nearest' });
        tellSize();
        terminal.focus();
      };
      // The server waits when too much is not drawn yet.
      socket.onmessage = ({ data }) => terminal.write(new Uint8Array(data), () => {
        if (socket.readyState === WebSocket.OPEN) {
          socket.send(JSON.stringify({ drawn: data.byteLength }));
        }
      });
      socket.onclose = (event) => {
        refit.disconnect();
        const focused = section.contains(document.activeElement);
        stop.remove();
        terminal.options.disableStdin = true;
        pressed.disabled = false;
        const how = opened ? 'the terminal has ended' : 'failed: no terminal can be opened here';
        status.textContent = event.reason ? `${how}: ${event.reason}` : how;
        if (focused) pressed.focus();
      };
    } catch (error) {
      status.textContent = `failed: ${error.message}`;
      pressed.disabled = false;
    }
  }
})();
