// Drives one published version of the AI SDK through what a chat app does with it, and prints what it saw as JSON.
//
//   node drive.mjs VERSION BASE_URL KEY CHATS
//
// The last argument is a JSON object from scenario to the id of a fresh chat. Nothing here knows what is right: the
// test that started it does.

const [version, base, key, chatsText] = process.argv.slice(2);
const { AbstractChat, DefaultChatTransport } = await import(`ai-${version}`);
const chats = JSON.parse(chatsText);

class State {
  status = "ready";
  error = undefined;
  messages = [];
  pushMessage = (message) => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (at, message) => (this.messages = this.messages.map((old, i) => (i === at ? message : old)));
  snapshot = (thing) => structuredClone(thing);
}

class Chat extends AbstractChat {
  constructor(id, { messages = [], fetch: fetching } = {}) {
    const state = new State();
    state.messages = messages;
    const transport = new DefaultChatTransport({
      api: `${base}/api/chat`,
      headers: { "x-api-key": key },
      ...(fetching ? { fetch: fetching } : {}),
    });
    super({ id, state, transport, onError: () => {} });
    this.seen = state;
  }

  show() {
    const error = this.seen.error ? String(this.seen.error.message) : null;
    return { status: this.seen.status, error, messages: this.seen.messages };
  }
}

const textOf = (message) => message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
const lastText = (chat) => {
  const last = chat.seen.messages.at(-1);
  return last?.role === "assistant" ? textOf(last) : "";
};

async function until(condition) {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error("waited for too long");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const ask = (path, init = {}) =>
  fetch(`${base}${path}`, { ...init, headers: { "x-api-key": key, ...(init.headers ?? {}) } });

/** A fetch whose response body breaks off after the first so many bytes, as a lost network does. */
function cutAfter(bytes) {
  return async (url, init) => {
    const abort = new AbortController();
    const response = await fetch(url, { ...init, signal: abort.signal });
    const reader = response.body.getReader();
    let left = bytes;
    const body = new ReadableStream({
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        controller.enqueue(value);
        left -= value.length;
        if (left <= 0) {
          abort.abort();
          controller.error(new TypeError("network lost"));
        }
      },
    });
    return new Response(body, { status: response.status, headers: response.headers });
  };
}

const scenarios = {
  async send(id) {
    const chat = new Chat(id);
    await chat.sendMessage({ text: "hello there" });
    const first = chat.show();
    await chat.sendMessage({ text: "and again" });
    return { first, second: chat.show() };
  },
  async tool(id) {
    const chat = new Chat(id);
    await chat.sendMessage({ text: '[[tool=current_time args={"time_zone":"UTC"}]] what time is it?' });
    return chat.show();
  },
  async stop(id) {
    const chat = new Chat(id);
    const sending = chat.sendMessage({ text: "[[tokens=200 delay_ms=30]]" });
    await until(() => lastText(chat).includes("t3"));
    await chat.stop();
    const stopped = await (await ask(`/api/chat/${id}/stop`, { method: "POST" })).json();
    await sending;
    const after = new Chat(id);
    await after.resumeStream();
    return { stopped, live: chat.show(), resumed: after.show() };
  },
  async cut(id) {
    const chat = new Chat(id, { fetch: cutAfter(600) });
    await chat.sendMessage({ text: "[[tokens=30 delay_ms=30]]" });
    const broken = chat.show();
    const back = new Chat(id, { messages: broken.messages.slice(0, 1) });
    await back.resumeStream();
    return { broken, resumed: back.show() };
  },
  async idle(id) {
    const chat = new Chat(id);
    await chat.resumeStream();
    return chat.show();
  },
  async error(id) {
    const failing = new Chat(id);
    await failing.sendMessage({ text: "[[error=500]]" });
    const unknown = new Chat("no-such-chat");
    await unknown.sendMessage({ text: "hello" });
    return { failing: failing.show(), unknown: unknown.show() };
  },
  async regenerate(id) {
    const chat = new Chat(id);
    await chat.sendMessage({ text: "one" });
    await chat.sendMessage({ text: "two" });
    const before = chat.show();
    await chat.regenerate();
    return { before, after: chat.show() };
  },
  async edit(id) {
    const chat = new Chat(id);
    await chat.sendMessage({ text: "one" });
    await chat.sendMessage({ text: "two" });
    await chat.sendMessage({ text: "one, corrected", messageId: chat.seen.messages[0].id });
    return chat.show();
  },
};

const seen = {};
for (const [name, id] of Object.entries(chats)) {
  try {
    seen[name] = await scenarios[name](id);
  } catch (error) {
    seen[name] = { thrown: String(error?.stack ?? error) };
  }
}
process.stdout.write(JSON.stringify(seen));
