import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport, getToolName, isToolUIPart, type UIMessage } from "ai";
import { useState } from "react";
import { ask, stored, type Room } from "./server";

/** One chat: its messages, an input, and a way to stop the answer. */
export function Chat({ room }: { room: Room }) {
  const [trouble, setTrouble] = useState("");
  const [stopping, setStopping] = useState(false);
  const { messages, setMessages, sendMessage, status, error, stop } = useChat({
    id: room.chat,
    messages: room.messages,
    resume: true, // after a reload in the middle of an answer it is played again, from its start
    transport: new DefaultChatTransport({
      api: new URL("/api/chat", room.server).href,
      headers: { "x-api-key": room.key },
      fetch: async (...request) => {
        const response = await fetch(...request);
        if (response.status === 204) await refresh(); // nothing to resume: what was running has ended by now
        return response;
      },
    }),
  });
  const busy = status === "submitted" || status === "streaming" || stopping;

  async function refresh() {
    const kept = await stored(room, room.session, room.chat);
    setMessages((shown) => (shown.length > kept.length ? shown : kept));
  }

  /** Leaving a stream stops nothing, so Antiphon is told; what it has kept is what counts. */
  async function halt() {
    setStopping(true);
    try {
      await stop();
      await ask(room, `/api/chat/${room.chat}/stop`, "POST");
      await refresh();
    } catch (failure) {
      setTrouble(String(failure));
    }
    setStopping(false);
  }

  function send(form: FormData) {
    setTrouble("");
    void sendMessage({ text: String(form.get("text")) });
  }

  return (
    <main aria-busy={busy}>
      {messages.map((message) => (
        <article key={message.id} className={message.role}>
          {message.parts.map((part, i) => <Part key={i} part={part} />)}
        </article>
      ))}
      {(error || trouble) && <p role="alert">{error?.message || trouble}</p>}
      <form className="message" action={send}>
        <input name="text" aria-label="Message" autoComplete="off" autoFocus required />
        <button disabled={busy}>Send</button>
        <button type="button" disabled={status !== "streaming"} onClick={halt}>Stop</button>
      </form>
    </main>
  );
}

function Part({ part }: { part: UIMessage["parts"][number] }) {
  if (part.type === "text") return <p>{part.text}</p>;
  if (part.type === "reasoning") return <p className="thought">{part.text}</p>;
  if (!isToolUIPart(part)) return null;
  return (
    <details>
      <summary>{getToolName(part)}: {part.state}</summary>
      <pre>{JSON.stringify(part.input, null, 2)}</pre>
      <pre>{part.state === "output-error" ? part.errorText : JSON.stringify(part.output, null, 2)}</pre>
    </details>
  );
}
