// A tour through Honcho's TypeScript SDK: each stop uses a part of it and looks at what comes back.
//
//   node tour.mjs BASE_URL KEY STRANGERS_KEY
//
// Prints a JSON object: under `stops` each stop with null, or what went wrong; under `missed` the public methods that
// no stop has called, under `unknown` those called that are none.

import assert from "node:assert/strict";
import * as sdk from "@honcho-ai/sdk";

const [baseURL, apiKey, strangersKey] = process.argv.slice(2);
const LONG_AGO = "2020-05-17T12:00:00Z";
const workspaceId = "tour-ts";
const open = (key, workspace = workspaceId) => new sdk.Honcho({ baseURL, apiKey: key, workspaceId: workspace, maxRetries: 0 });
const honcho = open(apiKey);

const called = new Set();

/** What a method of an object of the SDK gives; remembered by class and method. */
async function call(target, method, ...given) {
  called.add(`${target.constructor.name}.${method}`);
  return await target[method](...given);
}

/** All items of a list, page after page. */
async function all(target, method, ...given) {
  const found = [];
  for await (const one of await call(target, method, ...given)) found.push(one);
  return found;
}

const ids = (several) => several.map((one) => one.id);
const texts = (several) => several.map((one) => one.content);
const peer = (id) => call(honcho, "peer", id);
const session = (id) => call(honcho, "session", id);

/** Public methods are those without an underscore; `toString` is called by the language. */
function publicMethods() {
  const classes = Object.values(sdk).filter((one) => typeof one === "function" && !(one.prototype instanceof Error));
  const named = classes.map((one) => [one.name, Object.getOwnPropertyDescriptors(one.prototype)]);
  return named.flatMap(([name, members]) =>
    Object.entries(members)
      .filter(([member, { value }]) => typeof value === "function" && !/^(_|constructor$|toString$)/.test(member))
      .map(([member]) => `${name}.${member}`),
  );
}

const stops = {
  async workspaces() {
    await call(honcho, "setMetadata", { of: "all" });
    assert.deepEqual(await call(honcho, "getMetadata"), { of: "all" });
    await call(honcho, "setConfiguration", { summary: { enabled: false, messagesPerShortSummary: 15 } });
    const kept = await call(honcho, "getConfiguration");
    assert.deepEqual([kept.summary.enabled, kept.summary.messagesPerShortSummary], [false, 15]);
    await call(honcho, "refresh");
    assert.deepEqual(honcho.metadata, { of: "all" });
    assert.deepEqual(await all(honcho, "workspaces", { filters: { id: workspaceId } }), [workspaceId]);
  },

  async peers() {
    const ann = await call(honcho, "peer", "ann", { metadata: { a: 1 }, configuration: { observeMe: false } });
    assert.deepEqual([ann.metadata, ann.configuration], [{ a: 1 }, { observeMe: false }]);
    assert.ok(Date.parse(ann.createdAt) > 0);
    assert.deepEqual(await call(ann, "getMetadata"), { a: 1 });
    await call(ann, "setMetadata", { a: 2 });
    await call(ann, "setConfiguration", { observeMe: true });
    assert.deepEqual(await call(ann, "getConfiguration"), { observeMe: true });
    await call(ann, "refresh");
    assert.deepEqual(ann.metadata, { a: 2 });
    await peer("bob");
    await peer("cy");
    const first = await call(honcho, "peers", { size: 2 });
    assert.deepEqual([ids(first.items), first.total, first.pages, first.hasNextPage], [["ann", "bob"], 3, 2, true]);
    assert.equal((await call(first, "get", 1)).id, "bob");
    assert.deepEqual(ids(await call(first, "toArray")), ["ann", "bob", "cy"]);
    const second = await call(first, "getNextPage");
    assert.deepEqual(ids(second.items), ["cy"]);
    assert.equal(await call(second, "getNextPage"), null);
    assert.deepEqual(ids(await all(honcho, "peers", { reverse: true, size: 1 })), ["cy", "bob", "ann"]);
    assert.deepEqual(ids(await all(honcho, "peers", { metadata: { a: { gte: 2 } } })), ["ann"]);
  },

  async sessions() {
    const configuration = { summary: { enabled: false } };
    const made = await call(honcho, "session", "s", { metadata: { n: 1 }, configuration, peers: ["ann", "bob"] });
    assert.deepEqual([made.metadata, made.isActive, made.configuration.summary.enabled], [{ n: 1 }, true, false]);
    assert.deepEqual(await call(made, "getMetadata"), { n: 1 });
    await call(made, "setMetadata", { n: 2 });
    await call(made, "setConfiguration", { summary: { enabled: true } });
    assert.equal((await call(made, "getConfiguration")).summary.enabled, true);
    await call(made, "refresh");
    assert.deepEqual(made.metadata, { n: 2 });
    await session("t");
    assert.deepEqual(ids(await all(honcho, "sessions", { size: 1 })), ["s", "t"]);
    assert.deepEqual(ids(await all(honcho, "sessions", { NOT: [{ id: "s" }] })), ["t"]);
    assert.deepEqual(ids(await all(await peer("ann"), "sessions")), ["s"]);
  },

  async members() {
    const [made, cy] = [await session("s"), await peer("cy")];
    const members = async () => ids(await call(made, "peers")).sort();
    await call(made, "addPeers", [[cy, { observeOthers: true }]]);
    assert.deepEqual(await members(), ["ann", "bob", "cy"]);
    await call(made, "setPeerConfiguration", "cy", { observeMe: false });
    assert.deepEqual(await call(made, "getPeerConfiguration", cy), { observeMe: false, observeOthers: true });
    await call(made, "removePeers", [cy, "bob"]);
    assert.deepEqual(await members(), ["ann"]);
    await call(made, "setPeers", ["ann", "bob"]);
    assert.deepEqual(await members(), ["ann", "bob"]);
  },

  async messages() {
    const [made, ann, bob] = [await session("s"), await peer("ann"), await peer("bob")];
    const drafts = [];
    for (let n = 0; n < 23; n += 1) {
      drafts.push(await call(n % 2 ? bob : ann, "message", `number ${n}`, { metadata: { n }, createdAt: LONG_AGO }));
    }
    const stored = await call(made, "addMessages", drafts);
    assert.deepEqual(texts(stored), texts(drafts));
    assert.deepEqual([stored[1].peerId, stored[1].metadata, stored[1].createdAt], ["bob", { n: 1 }, LONG_AGO]);
    assert.ok(stored[0].tokenCount > 0);
    const page = await call(made, "messages", { size: 10 });
    assert.deepEqual([page.total, page.page, page.size, page.pages, page.length], [23, 1, 10, 3, 10]);
    assert.deepEqual(ids(await all(made, "messages", { size: 10 })), ids(stored));
    assert.deepEqual(ids(await all(made, "messages", { reverse: true })), ids(stored).reverse());
    const wanted = { AND: [{ peer_id: "bob" }, { metadata: { n: { lt: 5 } } }] };
    assert.deepEqual(texts(await all(made, "messages", wanted)), ["number 1", "number 3"]);
    const changed = await call(made, "updateMessage", stored[5], { is: "changed" });
    assert.deepEqual(changed.metadata, { is: "changed" });
    assert.deepEqual((await call(made, "getMessage", stored[5].id)).metadata, { is: "changed" });
  },

  async uploads() {
    const made = await session("files");
    const file = { filename: "a.json", content: Buffer.from('{"key": ["jason"]}'), content_type: "application/json" };
    const [parsed] = await call(made, "uploadFile", file, "ann", { metadata: { file: 1 }, createdAt: LONG_AGO });
    assert.deepEqual([parsed.content, parsed.metadata], ['{"key": ["jason"]}', { file: 1 }]);
    assert.equal(parsed.createdAt, LONG_AGO);
    const marked = new File(["# Marked\n\nand down"], "a.md", { type: "text/markdown" });
    assert.deepEqual(texts(await call(made, "uploadFile", marked, await peer("ann"))), ["# Marked\n\nand down"]);
    const quiet = { configuration: { reasoning: { enabled: false } } };
    const pieces = await call(made, "uploadFile", new Blob(["word ".repeat(6000)], { type: "text/plain" }), "ann", quiet);
    assert.equal(texts(pieces).join(""), "word ".repeat(6000));
    assert.equal(pieces.length, 2);
  },

  async searches() {
    const [made, ann] = [await session("s"), await peer("ann")];
    assert.deepEqual(texts(await call(honcho, "search", "number 7", { limit: 5 })), ["number 7"]);
    const byAnn = { filters: { peer_id: "ann" } };
    assert.deepEqual(texts(await call(made, "search", "number 12", byAnn)), ["number 12"]);
    assert.deepEqual(texts(await call(ann, "search", "marked")), ["# Marked\n\nand down"]);
  },

  async contexts() {
    const [made, ann] = [await session("s"), await peer("ann")];
    const context = await call(made, "context", { tokens: 1000, summary: false });
    assert.equal(context.length, 23);
    assert.deepEqual((await call(context, "toOpenAI", "bob"))[1], { role: "assistant", name: "bob", content: "number 1" });
    assert.equal((await call(context, "toAnthropic", ann))[0].role, "assistant");
    const summaries = await call(made, "summaries");
    assert.deepEqual([summaries.id, summaries.shortSummary, summaries.longSummary], ["s", null, null]);
  },

  async conclusions() {
    const ann = await peer("ann");
    const [own, ofBob, everyone] = [ann.conclusions, await call(ann, "conclusionsOf", "bob"), honcho.conclusions];
    const [tea, coffee] = await call(own, "create", [{ content: "likes tea", sessionId: "s" }, { content: "hates coffee" }]);
    const [dog] = await call(ofBob, "create", { content: "has a dog" });
    assert.deepEqual([tea.level, tea.sessionId, coffee.sessionId], ["explicit", "s", null]);
    assert.deepEqual(ids(await all(own, "list")), [coffee.id, tea.id]);
    assert.deepEqual(ids(await all(own, "list", { session: "s" })), [tea.id]);
    assert.deepEqual(ids(await all(ofBob, "list", { reverse: true, filters: { level: "explicit" } })), [dog.id]);
    assert.deepEqual(ids(await call(own, "query", "tea", 3, 1.0)), [tea.id]);
    assert.equal((await call(own, "get", coffee.id)).content, "hates coffee");
    assert.deepEqual(ids(await call(own, "getMany", [tea.id, dog.id])), [tea.id]);
    assert.equal((await call(everyone, "get", dog.id)).observedId, "bob");
    assert.deepEqual(ids(await call(everyone, "getMany", [dog.id])), [dog.id]);
    assert.equal((await all(everyone, "list")).length, 3);
    assert.match(await call(own, "representation", { maxConclusions: 5 }), /likes tea/);
    await assert.rejects(call(own, "derived", tea.id), sdk.UnprocessableEntityError); // nothing is derived yet
    await call(own, "delete", coffee.id);
    await assert.rejects(call(everyone, "get", coffee.id), sdk.NotFoundError);
  },

  async whatIsKnown() {
    const [made, ann, bob] = [await session("s"), await peer("ann"), await peer("bob")];
    assert.equal(await call(ann, "getCard"), null);
    assert.deepEqual(await call(ann, "setCard", ["Name: Ann"]), ["Name: Ann"]);
    assert.deepEqual(await call(ann, "getCard"), ["Name: Ann"]);
    await call(ann, "setCard", ["Friend"], bob);
    assert.deepEqual(await call(ann, "card", "bob"), ["Friend"]);
    assert.match(await call(ann, "representation", { target: bob, searchQuery: "dog", searchTopK: 3 }), /has a dog/);
    assert.match(await call(made, "representation", ann), /likes tea/);
    const known = await call(ann, "context", { target: bob });
    assert.deepEqual([known.peerId, known.targetId, known.peerCard], ["ann", "bob", ["Friend"]]);
    const about = await call(made, "context", { peerTarget: "bob", peerPerspective: "ann" });
    assert.deepEqual(about.peerCard, ["Friend"]);
    const here = await call(made, "context", { peerTarget: "ann", sessions: [made] });
    assert.match(here.peerRepresentation, /likes tea/);
  },

  async questions() {
    const [made, ann] = [await session("s"), await peer("ann")];
    assert.equal(await call(ann, "chat", "which color?", { session: made, reasoningLevel: "minimal" }), null);
    const asked = await call(ann, "chatStream", "which color?", { sessions: ["s"] });
    assert.deepEqual(await call(asked, "toArray"), []);
    assert.equal(await call(asked, "getFinalResponse"), "");
    await assert.rejects(call(honcho, "chat", "which color?"), sdk.NotFoundError); // of everybody: for newer servers
    await assert.rejects(call(honcho, "chatStream", "which color?"), sdk.NotFoundError);
  },

  async work() {
    const made = await session("s");
    for (const status of [await call(honcho, "queueStatus", { sender: "ann" }), await call(made, "queueStatus")]) {
      assert.equal(status.totalWorkUnits, status.completedWorkUnits + status.pendingWorkUnits);
    }
    await call(honcho, "scheduleDream", { observer: "ann", session: made, observed: "bob" });
  },

  async scopes() {
    const made = await call(honcho, "scope", "home", { metadata: { a: 1 } });
    assert.deepEqual(made.metadata, { a: 1 });
    await call(made, "addSessions", ["s", "files"]);
    assert.deepEqual(ids(await all(made, "sessions", { size: 1 })), ["s", "files"]);
    await call(made, "removeSession", "files");
    assert.deepEqual(Object.keys((await call(made, "status")).backfillStatus), ["s"]);
    const born = await call(honcho, "session", "born", { scopes: [made, "away"] });
    const away = await call(honcho, "getScope", "away");
    assert.deepEqual(ids(await all(away, "sessions")), ["born"]);
    assert.deepEqual(ids(await all(honcho, "scopes", { reverse: true })), ["away", "home"]);
    await assert.rejects(call(honcho, "getScope", "nowhere"), sdk.NotFoundError);
    assert.deepEqual(texts(await call(honcho, "search", "number 7", { scope: made })), ["number 7"]);
    assert.match(await call(await peer("ann"), "representation", { scope: [made, "away"] }), /likes tea/);
    await call(born, "delete");
  },

  async clones() {
    const made = await session("s");
    const stored = await all(made, "messages");
    const [whole, part] = [await call(made, "clone"), await call(made, "clone", stored[4].id)];
    assert.deepEqual(texts(await all(whole, "messages")), texts(stored));
    assert.deepEqual(texts(await all(part, "messages")), texts(stored.slice(0, 5)));
    await call(whole, "delete");
    assert.equal((await all(made, "messages")).length, stored.length);
  },

  async refusals() {
    const observing = Array.from({ length: 11 }, (_, n) => [`o${n}`, { observeOthers: true }]);
    await assert.rejects(call(honcho, "session", "crowded", { peers: observing }), sdk.BadRequestError);
    await assert.rejects(call(open(strangersKey), "peer", "ann"), sdk.AuthenticationError);
    await assert.rejects(call(await session("s"), "getMessage", "N".repeat(21)), sdk.NotFoundError);
    await assert.rejects(call(honcho, "peers", { filters: { unheard_of: 1 } }), sdk.UnprocessableEntityError);
    await assert.rejects(call(honcho, "deleteWorkspace", workspaceId), sdk.ConflictError);
  },

  async deletions() {
    const made = await session("s");
    await call(made, "delete");
    await assert.rejects(call(made, "delete"), sdk.NotFoundError);
    assert.ok(!ids(await all(honcho, "sessions")).includes("s"));
    const again = await session("s");
    assert.deepEqual([again.metadata, await all(again, "messages"), await call(again, "peers")], [{}, [], []]);
    for (const one of await all(honcho, "sessions")) await call(one, "delete");
    await call(honcho, "deleteWorkspace", workspaceId);
    assert.ok(!(await all(honcho, "workspaces")).includes(workspaceId));
  },
};

const seen = {};
for (const [name, stop] of Object.entries(stops)) {
  seen[name] = await stop().then(() => null, (error) => String(error?.stack ?? error));
}
const known = new Set(publicMethods());
const missed = [...known].filter((one) => !called.has(one));
const unknown = [...called].filter((one) => !known.has(one));
process.stdout.write(JSON.stringify({ stops: seen, missed, unknown }));
