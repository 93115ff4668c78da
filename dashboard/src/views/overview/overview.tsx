/** How the broker is. */

import type { ComponentChildren } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { counted, formatBytes, formatCount, formatDuration, formatLatency, formatShort } from "../../format";
import { usePage } from "../../page";
import { BINARY_STEPS, Chart, WHOLE_STEPS, type Data, type Line } from "../../parts/chart";
import { Bridges } from "./bridges";
import { Events } from "./events";
import { Listeners } from "./listeners";
import { Tile } from "./tile";
import "./overview.css";

const IN_AND_OUT: readonly Line[] = [
  { label: "in", colour: "--in" },
  { label: "out", colour: "--out" },
];
const LATENCY: readonly Line[] = [{ label: "latency", colour: "--in" }];
const WAITING: readonly Line[] = [{ label: "waiting", colour: "--out" }];

export function OverviewView() {
  const { samples, session } = usePage();
  useEffect(() => samples.start(), [samples]);
  const columns = samples.columns.value;
  const broker = samples.broker.value;
  const latest = samples.latest.value;
  const last = (column: readonly (number | null)[]): number => column.at(-1) ?? 0;
  const messages = useMemo<Data>(() => [columns.x, columns.messagesIn, columns.messagesOut], [columns]);
  const bytes = useMemo<Data>(() => [columns.x, columns.bytesIn, columns.bytesOut], [columns]);
  const latency = useMemo<Data>(() => [columns.x, columns.latency], [columns]);
  const waiting = useMemo<Data>(() => [columns.x, columns.waiting], [columns]);
  const rate = (value: number): string => `${formatShort(value)}/s`;
  return (
    <div class="overview">
      <header class="view-head">
        <h1>Overview</h1>
        <p class="soft">{describe(broker, samples.sys.value)}</p>
      </header>
      {samples.problem.value !== null && (
        <p class="fault" role="alert">
          {samples.problem.value}
        </p>
      )}
      {broker?.store === "failing" && (
        <p class="fault" role="alert">
          Nothing can be stored at the moment: messages of QoS 1 and 2 are refused. The log says why.
        </p>
      )}
      <div class="tiles">
        <Tile title="Clients" value={latest === null ? "–" : formatCount(latest.clients)} trend={columns.clients}>
          {broker !== null && `${counted(broker.statistics.sessions, "session")}, ${counted(broker.statistics.subscriptions, "subscription")}`}
        </Tile>
        <Tile title="Messages in" value={rate(last(columns.messagesIn))} trend={columns.messagesIn}>
          {latest !== null && `${formatShort(latest.messagesReceived)} since the start`}
        </Tile>
        <Tile title="Messages out" value={rate(last(columns.messagesOut))} trend={columns.messagesOut} colour="--out">
          {latest !== null && `${formatShort(latest.messagesSent)} since the start`}
        </Tile>
        <Tile title="Latency" value={shownLatency(columns.latency.at(-1) ?? null)} trend={columns.latency}>
          {broker?.statistics.latency.p99 != null
            ? `p99 in the broker ${formatLatency(broker.statistics.latency.p99 * 1000)}`
            : "there and back"}
        </Tile>
        {broker !== null && (
          <Tile title="Waiting" value={formatShort(broker.queue.messages)} trend={columns.waiting} colour="--out">
            for clients; {formatBytes(broker.queue.bytes)}
          </Tile>
        )}
        <Tile
          title="Dropped"
          value={latest === null ? "–" : formatShort(latest.dropped)}
          trend={columns.dropped}
          isBad={last(columns.dropped) > 0}
        >
          {last(columns.dropped) > 0 ? `since the start; ${rate(last(columns.dropped))} now` : "since the start"}
        </Tile>
        {broker !== null && (
          <Tile title="Retained" value={formatShort(broker.statistics.retained)}>
            {formatBytes(broker.statistics.retained_bytes)} of payloads
          </Tile>
        )}
        {latest !== null && latest.memory !== null && (
          <Tile title="Memory" value={formatBytes(latest.memory)} trend={columns.memory}>
            of the broker's process
          </Tile>
        )}
      </div>
      {session.me.value?.administrator === true && <Bridges />}
      <div class="charts">
        <Panel title="Messages a second" lines={IN_AND_OUT}>
          <Chart
            label={`Messages a second: ${rate(last(columns.messagesIn))} in, ${rate(last(columns.messagesOut))} out`}
            lines={IN_AND_OUT}
            data={messages}
            format={formatShort}
            fromZero
            steps={WHOLE_STEPS}
          />
        </Panel>
        <Panel title="Bytes a second" lines={IN_AND_OUT}>
          <Chart
            label={`Bytes a second: ${formatBytes(last(columns.bytesIn))} in, ${formatBytes(last(columns.bytesOut))} out`}
            lines={IN_AND_OUT}
            data={bytes}
            format={formatBytes}
            fromZero
            steps={BINARY_STEPS}
          />
        </Panel>
        <Panel title="Latency, there and back">
          <Chart
            label={`Latency: ${shownLatency(columns.latency.at(-1) ?? null)}`}
            lines={LATENCY}
            data={latency}
            format={(value) => `${formatShort(value)} ms`}
            fromZero
          />
        </Panel>
        {broker !== null && (
          <Panel title="Messages that wait for clients">
            <Chart
              label={`Messages that wait: ${formatShort(broker.queue.messages)}`}
              lines={WAITING}
              data={waiting}
              format={formatShort}
              fromZero
              steps={WHOLE_STEPS}
            />
          </Panel>
        )}
      </div>
      <div class="lists">
        {session.me.value?.administrator === true ? (
          <Events />
        ) : (
          <p class="caution">Who came and went, and what was refused, is for administrators to see.</p>
        )}
        {broker !== null && <Listeners listeners={broker.listeners} />}
      </div>
    </div>
  );
}

interface PanelProps {
  readonly title: string;
  readonly lines?: readonly Line[];
  readonly children: ComponentChildren;
}

function Panel({ title, lines = [], children }: PanelProps) {
  return (
    <section class="card" aria-label={title}>
      <h2>
        {title}
        {lines.map((line) => (
          <span key={line.label} class={`key key-${line.label}`}>
            {line.label}
          </span>
        ))}
      </h2>
      {children}
    </section>
  );
}

function describe(broker: ReturnType<typeof usePage>["samples"]["broker"]["value"], sys: ReadonlyMap<string, string>): string {
  if (broker !== null) {
    const name = `${broker.name} ${broker.version}${broker.compiled ? ", compiled" : ""}`;
    return `${name}, up for ${formatDuration(broker.uptime)}`;
  }
  const version = sys.get("$SYS/broker/version");
  const uptime = Number.parseInt(sys.get("$SYS/broker/uptime") ?? "", 10);
  if (version === undefined || Number.isNaN(uptime)) return "Asking the broker …";
  return `${version}, up for ${formatDuration(uptime)}; from $SYS, since you may not ask for more`;
}

function shownLatency(ms: number | null): string {
  return ms === null ? "–" : formatLatency(ms);
}
