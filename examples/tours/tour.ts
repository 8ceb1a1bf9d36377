// The same walk with fetch. The types are made from the server's own document:
//
//     npm install && npx openapi-typescript http://127.0.0.1:8000/antiphon/v1/openapi.json --default-non-nullable false -o antiphon.d.ts
//     KEY=ant_… node tour.ts [URL]
//
// It needs Node 22.18 or newer, which runs TypeScript as it stands.

import type { components } from "./antiphon.d.ts";

type Schemas = components["schemas"];

const url = process.argv[2] ?? "http://127.0.0.1:8000";
const key = process.env.KEY ?? "";

async function ask<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  const answer = await fetch(`${url}/antiphon/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) {
    const problem = (await answer.json()) as Schemas["Problem"];
    throw new Error(`${problem.status} ${problem.code}: ${problem.detail}`);
  }
  return (await answer.json()) as T;
}

async function makeChat(): Promise<string> {
  const wanted: Schemas["NewChat"] = { id: crypto.randomUUID(), title: "Harbour", participant: "ann" };
  await ask<Schemas["Chat"]>("POST", "/chats", wanted);
  const chat = await ask<Schemas["Chat"]>("POST", "/chats", wanted); // safe to repeat: it has an id of ours
  console.log(`chat ${chat.id} of ${chat.participant}`);
  const said: Schemas["NewMessages"] = {
    messages: [{ role: "user", text: "The ferry leaves at nine.", client_id: "note-1" }],
  };
  const once = { "idempotency-key": crypto.randomUUID() };
  const first = await ask<Schemas["StoredMessages"]>("POST", `/chats/${chat.id}/messages`, said, once);
  const again = await ask<Schemas["StoredMessages"]>("POST", `/chats/${chat.id}/messages`, said, once);
  const isSame = JSON.stringify(first) === JSON.stringify(again);
  console.log(`stored ${first.messages.length} message, the same answer again: ${isSame}`);
  return chat.id;
}

type Told = { sequence: string; event: { type: string; text?: string } };

async function* follow(chat: string, last: string | undefined, signal: AbortSignal): AsyncGenerator<Told> {
  const headers: Record<string, string> = { authorization: `Bearer ${key}` };
  if (last !== undefined) headers["last-event-id"] = last;
  const answer = await fetch(`${url}/antiphon/v1/chats/${chat}/events`, { headers, signal });
  if (answer.status === 204 || answer.body === null) return; // nothing is left to be told
  let rest = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + piece).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const field = (name: string) =>
        block.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = field("data");
      if (data !== undefined) yield { sequence: field("id") ?? "", event: JSON.parse(data) };
    }
  }
}

async function followAnAnswer(chat: string): Promise<void> {
  const wanted: Schemas["NewTurn"] = { message: { text: "When does it leave?" } };
  const turn = await ask<Schemas["Turn"]>("POST", `/chats/${chat}/turns`, wanted);
  console.log(`turn ${turn.id} is ${turn.state}`);
  let text = "";
  let last: string | undefined;
  for (const isCut of [true, false]) {
    const cutter = new AbortController();
    for await (const { sequence, event } of follow(chat, last, cutter.signal)) {
      last = sequence;
      if (event.type === "text-added") text += event.text ?? "";
      if (isCut && text !== "") break; // the connection is lost
    }
    cutter.abort();
  }
  const page = await ask<Schemas["MessageList"]>("GET", `/chats/${chat}/messages?order=desc&limit=1`);
  const kept = page.items[0]?.parts.map((part) => String(part["text"] ?? "")).join("");
  console.log(`the answer, cut and resumed, is the one that is kept: ${text === kept}`);
}

async function remove(chat: string): Promise<void> {
  const target = { kind: "chat", id: chat } as const;
  const plan = await ask<Schemas["Plan"]>("POST", "/deletions/plan", { target });
  const order: Schemas["NewDeletion"] = { target, reason: "the tour is over" };
  let deletion = await ask<Schemas["Deletion"]>("POST", "/deletions", order, { "if-match": `"${plan.digest}"` });
  console.log(`deletion ${deletion.id} is ${deletion.state}`);
  while (deletion.state !== "done") {
    await new Promise((resolve) => setTimeout(resolve, 200));
    deletion = await ask<Schemas["Deletion"]>("GET", `/deletions/${deletion.id}`);
  }
  const receipt = await ask<Schemas["Statement"]>("GET", `/receipts/${deletion.receipt}`);
  console.log(`receipt ${receipt.id}: ${JSON.stringify(receipt.counts)}, bytes ${receipt.bytes}`);
  const verdict = await ask<Schemas["Verdict"]>("GET", "/receipts/verify");
  console.log(`the chain of ${verdict.receipts} receipts holds: ${verdict.ok}`);
}

const caller = await ask<Schemas["Whoami"]>("GET", "/whoami");
console.log(`this key is of the tenant ${caller.tenant.name}`);
const chat = await makeChat();
await followAnAnswer(chat);
await remove(chat);
