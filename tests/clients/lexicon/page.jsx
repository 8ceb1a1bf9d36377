// A list of chats, as an app would make one of the sample's ChatItem; the sample itself is put in above.
import { createElement } from 'react';
import { createRoot } from 'react-dom/client';

function ChatList({ chats }) {
  const [shown, setShown] = useState(chats);
  const drop = (id) => setShown((before) => before.filter((chat) => chat.id !== id));
  return <main>{shown.map((chat) => <ChatItem key={chat.id} chat={chat} onDeleted={drop} />)}</main>;
}

createRoot(document.getElementById('root')).render(createElement(ChatList, { chats: window.chats }));
