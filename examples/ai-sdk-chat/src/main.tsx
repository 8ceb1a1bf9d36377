import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Chat } from "./chat";
import { enter, type Access, type Room } from "./server";

const KEPT = "antiphon-access"; // for as long as the tab is open

/** The chat; before that, a form for the server's address and the key. */
function Page() {
  const [room, setRoom] = useState<Room>();
  const [trouble, setTrouble] = useState("");

  async function open(access: Access) {
    try {
      setRoom(await enter(access));
      sessionStorage.setItem(KEPT, JSON.stringify(access));
    } catch (failure) {
      setTrouble(String(failure));
    }
  }

  useEffect(() => {
    const kept = sessionStorage.getItem(KEPT);
    if (kept) void open(JSON.parse(kept));
  }, []);

  if (room) return <Chat room={room} />;
  return (
    <form className="key" action={(form) => open(Object.fromEntries(form) as Access)}>
      <input name="server" aria-label="Server" type="url" defaultValue="http://127.0.0.1:8000" required />
      <input name="key" aria-label="Key" type="password" placeholder="ant_…" required />
      <button>Open a chat</button>
      {trouble && <p role="alert">{trouble}</p>}
    </form>
  );
}

createRoot(document.getElementById("page")!).render(<Page />);
