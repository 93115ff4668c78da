/** The bridges to other brokers: whether they are connected, what moves and waits, and what is wrong. Without any: nothing. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { BridgeInfo, BridgeState } from "../../api/contract";
import { counted, formatBytes, formatCount, formatDuration, formatLatency, formatMoment, formatRate, formatShort } from "../../format";
import { useAsked } from "../../parts/asking";
import { Icon } from "../../parts/icon";
import { Spark } from "../../parts/spark";
import "./bridges.css";

const ASK_MS = 2000;
const KEPT = 60; // looks: two minutes
const PLACES = 15; // at first
const REFUSALS = 3; // that are told before somebody wants to know more

const STATES: Readonly<Record<BridgeState, { readonly words: string; readonly tag: string }>> = {
  open: { words: "connected", tag: "tag tag-connected" },
  connecting: { words: "connecting …", tag: "tag" },
  waiting: { words: "not connected", tag: "tag tag-refused" },
  idle: { words: "idle", tag: "tag" },
  ended: { words: "ended", tag: "tag" },
};

/** What one bridge brought and took lately, in messages a second. */
export interface Trend {
  readonly incoming: readonly number[];
  readonly outgoing: readonly number[];
}

/** What came of one more look; who is gone is forgotten. */
export function followed(trends: ReadonlyMap<string, Trend>, bridges: readonly BridgeInfo[]): ReadonlyMap<string, Trend> {
  const add = (values: readonly number[] | undefined, value: number): readonly number[] => [...(values ?? []).slice(1 - KEPT), value];
  return new Map(
    bridges.map(({ name, rates }) => {
      const former = trends.get(name);
      return [
        name,
        {
          incoming: add(former?.incoming, rates.messages_received_per_second),
          outgoing: add(former?.outgoing, rates.messages_sent_per_second),
        },
      ];
    }),
  );
}

interface Look {
  readonly bridges: readonly BridgeInfo[];
  readonly hasMore: boolean;
  readonly trends: ReadonlyMap<string, Trend>;
}

export function Bridges() {
  const [look, setLook] = useState<Look>({ bridges: [], hasMore: false, trends: new Map() });
  useAsked(
    (api) => api.bridges(),
    ASK_MS,
    ({ items, next }) => setLook(({ trends }) => ({ bridges: items, hasMore: next !== null, trends: followed(trends, items) })),
  );
  if (look.bridges.length === 0) return null;
  return (
    <section class="card bridges" aria-label="Bridges">
      <h2>Bridges</h2>
      <ul class="plain">
        {look.bridges.map((bridge) => (
          <Bridge key={bridge.name} bridge={bridge} trend={look.trends.get(bridge.name)} />
        ))}
      </ul>
      {look.hasMore && <p class="caution">The first {formatCount(look.bridges.length)} of them.</p>}
    </section>
  );
}

function Bridge({ bridge, trend }: { readonly bridge: BridgeInfo; readonly trend: Trend | undefined }) {
  const now = Date.now();
  const { words, tag } = STATES[bridge.state];
  const { rates } = bridge;
  const trouble = troubleOf(bridge, now);
  const refused = Object.entries(bridge.refused);
  return (
    <li class="bridge">
      <details>
        <summary>
          <Icon name="chevron" />
          <span class="bridge-who">
            <span class="line">
              <b class="name">{bridge.name}</b>
              <span class={tag}>{words}</span>
              <span class="soft">for {formatDuration(Math.max(0, now - Date.parse(bridge.since)) / 1000)}</span>
            </span>
            <code class="soft">{bridge.address}</code>
          </span>
          <span class="figures">
            <Figure title="In" value={formatRate(rates.messages_received_per_second)}>
              <Spark values={trend?.incoming ?? []} colour="--in" places={PLACES} fromZero />
            </Figure>
            <Figure title="Out" value={formatRate(rates.messages_sent_per_second)}>
              <Spark values={trend?.outgoing ?? []} colour="--out" places={PLACES} fromZero />
            </Figure>
            <Figure title="Waiting" value={formatShort(bridge.queued)} isBad={bridge.state === "waiting" && bridge.queued > 0} />
            <Figure title="In flight" value={formatShort(bridge.in_flight)} />
            <Figure title="Delay" value={bridge.delay === 0 ? "–" : formatLatency(bridge.delay * 1000)} />
          </span>
        </summary>
        <Facts bridge={bridge} now={now} />
      </details>
      {trouble !== null && <p class={bridge.state === "ended" ? "caution" : "fault"}>{trouble}</p>}
      {refused.length > 0 && (
        <ul class="caution plain">
          {refused.slice(0, REFUSALS).map(([filter, why]) => (
            <li key={filter}>
              May not subscribe to <code>{filter}</code>: {why}.
            </li>
          ))}
          {refused.length > REFUSALS && <li>And {formatCount(refused.length - REFUSALS)} more.</li>}
        </ul>
      )}
    </li>
  );
}

interface FigureProps {
  readonly title: string;
  readonly value: string;
  readonly isBad?: boolean;
  readonly children?: ComponentChildren;
}

function Figure({ title, value, isBad = false, children }: FigureProps) {
  return (
    <span class={isBad ? "figure is-bad" : "figure"}>
      <span class="figure-title">{title} </span>
      <span class="figure-value">{value} </span>
      {children}
    </span>
  );
}

function Facts({ bridge, now }: { readonly bridge: BridgeInfo; readonly now: number }) {
  const { rates } = bridge;
  const refused = Object.entries(bridge.refused).slice(REFUSALS);
  return (
    <dl class="facts">
      <dt>State</dt>
      <dd>
        {STATES[bridge.state].words} since {formatMoment(bridge.since, now)}
        {bridge.state === "idle" && "; it is lazy, and connects when enough messages wait"}
      </dd>
      <dt>Speaks</dt>
      <dd>
        MQTT {bridge.version}, {bridge.tls ?? "without TLS"}
      </dd>
      <dt>Client id there</dt>
      <dd>
        <code>{bridge.client_id}</code>
      </dd>
      <dt>Client id here</dt>
      <dd>
        <code>{bridge.local_client_id}</code>
      </dd>
      <dt>In</dt>
      <dd>
        {formatBytes(rates.bytes_received_per_second)}/s; in all {counted(bridge.messages_received, "message")},{" "}
        {formatBytes(bridge.bytes_received)}
      </dd>
      <dt>Out</dt>
      <dd>
        {formatBytes(rates.bytes_sent_per_second)}/s; in all {counted(bridge.messages_sent, "message")}, {formatBytes(bridge.bytes_sent)}
      </dd>
      <dt>Not carried</dt>
      <dd>
        {formatCount(bridge.filtered)} held back by filters, {formatCount(bridge.looped)} had been here before or passed too many
        brokers, {formatCount(bridge.rejected)} not taken by the remote broker
      </dd>
      <dt>Connections</dt>
      <dd>{formatCount(bridge.connections)} since the broker's start</dd>
      {bridge.reason !== null && (
        <>
          <dt>Last end</dt>
          <dd>{bridge.reason}</dd>
        </>
      )}
      {refused.length > 0 && (
        <>
          <dt>Refused, too</dt>
          <dd>
            <ul class="plain">
              {refused.map(([filter, why]) => (
                <li key={filter}>
                  <code>{filter}</code>: {why}
                </li>
              ))}
            </ul>
          </dd>
        </>
      )}
    </dl>
  );
}

/** Why there is no connection, and until when; null: there is one, or none is wanted. */
export function troubleOf(bridge: BridgeInfo, now: number): string | null {
  if (bridge.state === "open" || bridge.state === "idle") return null;
  const reason = bridge.reason?.replace(/\.$/, "") ?? "";
  const why = reason === "" ? "" : `${reason[0].toUpperCase()}${reason.slice(1)}. `;
  if (bridge.state === "ended") return `${why}It is started once, and does not come back.`;
  if (bridge.state === "connecting") return why === "" ? null : why.trim();
  const left = bridge.next_attempt === null ? 0 : Date.parse(bridge.next_attempt) - now;
  const next = left > 500 ? `It tries again in ${formatDuration(left / 1000)}.` : "It tries again now.";
  return bridge.next_attempt === null ? why.trim() || null : `${why}${next}`;
}
