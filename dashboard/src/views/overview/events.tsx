/** Who came and went lately, and what was refused, with the rule that said so. */

import { useState } from "preact/hooks";
import type { BrokerEvent, EventKind } from "../../api/contract";
import { formatMoment } from "../../format";
import { useAsked } from "../../parts/asking";

const ASK_MS = 3000;
const SHOWN = 100;
const REFUSALS: readonly EventKind[] = ["refused", "denied", "banned"];
const WORDS: Readonly<Record<EventKind, string>> = {
  connected: "connected",
  disconnected: "left",
  refused: "refused",
  denied: "denied",
  banned: "banned",
  takeover: "taken over",
};

export function Events() {
  const [events, setEvents] = useState<readonly BrokerEvent[]>([]);
  useAsked(
    (api) => api.events(SHOWN),
    ASK_MS,
    ({ items }) => setEvents(latestFirst(items)),
  );
  return (
    <>
      <EventList
        title="Who came and went"
        none="Nobody yet."
        events={events.filter((event) => !REFUSALS.includes(event.kind))}
      />
      <EventList
        title="What was refused"
        none="Nothing was refused."
        events={events.filter((event) => REFUSALS.includes(event.kind))}
      />
    </>
  );
}

interface ListProps {
  readonly title: string;
  readonly none: string;
  readonly events: readonly BrokerEvent[];
}

function EventList({ title, none, events }: ListProps) {
  const now = Date.now();
  return (
    <section class="card" aria-label={title}>
      <h2>{title}</h2>
      {events.length === 0 && <p class="soft">{none}</p>}
      <ol class="plain events" tabIndex={0} aria-label={title}>
        {events.map((event, i) => (
          <li key={`${event.time} ${i}`}>
            <p class="line">
              <b class="name">{event.client_id ?? event.user ?? event.address ?? "somebody"}</b>
              <span class={`tag tag-${event.kind}`}>{WORDS[event.kind]}</span>
              {event.count > 1 && <span class="tag">{event.count} times</span>}
              <time dateTime={event.time} class="soft push">
                {formatMoment(event.time, now)}
              </time>
            </p>
            <p class="soft">{[event.user, event.address, event.why].filter((part) => part !== null && part !== "").join(" · ")}</p>
            {event.rule !== null && (
              <p class="rule">
                rule: <code>{event.rule}</code>
              </p>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}

/** Whatever order they came in. */
export function latestFirst(events: readonly BrokerEvent[]): readonly BrokerEvent[] {
  return [...events].sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
}
