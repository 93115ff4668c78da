/** The last messages of a topic; each can be looked at. */

import { useState } from "preact/hooks";
import { counted, formatBytes, formatCount, formatShort, formatTime } from "../../format";
import { oneLine } from "../../payload/kinds";
import type { Heard } from "../../topics/history";

const FEW = 10;
const SEEN = 80; // bytes of a payload in its line

interface Props {
  readonly messages: readonly Heard[];
  /** Of which the messages are the last. */
  readonly count: number;
  readonly chosen: number | null;
  readonly onChoose: (index: number) => void;
}

export function Messages({ messages, count, chosen, onChoose }: Props) {
  const [isLong, setLong] = useState(false);
  const shown = messages.slice(isLong ? 0 : -FEW).reverse();
  const now = Date.now();
  return (
    <section class="messages" aria-label="Last messages">
      <h3>Last messages</h3>
      <ol class="plain">
        {shown.map((message) => (
          <li key={message.index}>
            <button type="button" class="message" aria-pressed={message.index === chosen} onClick={() => onChoose(message.index)}>
              <time class="soft">{formatTime(message.at, now)}</time>
              <span class="message-value">{oneLine(message.payload.subarray(0, SEEN), message.payload.length) || "empty"}</span>
              {message.messages > 1 && <span class="tag">last of {formatShort(message.messages)}</span>}
              <span class="soft">{formatBytes(message.payload.length)}</span>
            </button>
          </li>
        ))}
      </ol>
      <p class="soft line">
        {count > messages.length && `The last ${formatCount(messages.length)} of ${formatCount(count)} are kept. `}
        {messages.length > FEW && (
          <button type="button" class="link" onClick={() => setLong(!isLong)}>
            {isLong ? "Show fewer" : `Show all ${counted(messages.length, "message")}`}
          </button>
        )}
      </p>
    </section>
  );
}
