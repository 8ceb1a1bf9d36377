import type { UIMessage } from "ai";

/** Where Antiphon is, and the key to it. */
export type Access = { server: string; key: string };

/** One chat, and its messages at the moment it was opened. */
export type Room = Access & { session: string; chat: string; messages: UIMessage[] };

/** What Antiphon answers. Throws with its own words when it refuses. */
export async function ask<Answer>({ server, key }: Access, path: string, method = "GET"): Promise<Answer> {
  const response = await fetch(new URL(path, server), { method, headers: { "x-api-key": key } });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** A chat's messages as they are stored; of a running answer, what is stored of it so far. */
export async function stored(access: Access, session: string, chat: string): Promise<UIMessage[]> {
  const path = `/api/sessions/${encodeURIComponent(session)}/chats/${encodeURIComponent(chat)}`;
  return (await ask<{ messages: UIMessage[] }>(access, path)).messages;
}

/** The chat that the page's address names; where it names none, a new one, which it names from then on. */
export async function enter(access: Access): Promise<Room> {
  const address = new URLSearchParams(location.search);
  if (!address.has("chat")) {
    const made = await ask<{ session: { id: string }; chat: { id: string } }>(access, "/api/sessions", "POST");
    address.set("session", made.session.id);
    address.set("chat", made.chat.id);
    history.replaceState(null, "", `?${address}`);
  }
  const [session, chat] = [address.get("session") ?? "", address.get("chat") ?? ""];
  return { ...access, session, chat, messages: await stored(access, session, chat) };
}
