// Stores one message with Honcho's TypeScript SDK, however often the server says that it is busy, and prints its id.
//
//   node patient.mjs BASE_URL KEY WORKSPACE SESSION TEXT

import { Honcho } from "@honcho-ai/sdk";

const [baseURL, apiKey, workspaceId, sessionId, text] = process.argv.slice(2);
const honcho = new Honcho({ baseURL, apiKey, workspaceId, maxRetries: 3 });
const session = await honcho.session(sessionId);
const [stored] = await session.addMessages([{ peerId: "ann", content: text }]);
process.stdout.write(stored.id);
