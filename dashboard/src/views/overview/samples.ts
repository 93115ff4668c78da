/**
 * What the overview draws: the broker's counters, asked for once a second, as rates.
 *
 * The REST API has them. Who may not ask it gets what `$SYS` says, every few seconds. Nothing is asked for while the
 * overview is not shown.
 */

import { signal } from "@preact/signals";
import { ApiError, type Api } from "../../api/api";
import type { BrokerInfo } from "../../api/contract";
import type { Link } from "../../link/link";

/** One look at the counters. */
export interface Sample {
  /** Milliseconds. */
  readonly at: number;
  readonly messagesReceived: number;
  readonly messagesSent: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly clients: number;
  readonly dropped: number;
  /** Messages that wait for clients. */
  readonly waiting: number | null;
  /** Bytes of the broker's process. */
  readonly memory: number | null;
}

/** The columns of the charts: times in seconds, and what there was then. Null: a gap. */
export interface Columns {
  readonly x: readonly number[];
  readonly messagesIn: readonly (number | null)[];
  readonly messagesOut: readonly (number | null)[];
  readonly bytesIn: readonly (number | null)[];
  readonly bytesOut: readonly (number | null)[];
  readonly clients: readonly (number | null)[];
  readonly latency: readonly (number | null)[];
  readonly waiting: readonly (number | null)[];
  readonly dropped: readonly (number | null)[];
  readonly memory: readonly (number | null)[];
}

export const NOTHING: Columns = {
  x: [],
  messagesIn: [],
  messagesOut: [],
  bytesIn: [],
  bytesOut: [],
  clients: [],
  latency: [],
  waiting: [],
  dropped: [],
  memory: [],
};
const SAMPLE_MS = 1000;
const KEPT = 300; // five minutes
const GAP_MS = 30_000; // between two looks, after which a line is not drawn through
const SYS = "$SYS/broker/";

/** What came of one more look. Counters that fell are those of a broker that began anew: there is no rate then. */
export function extended(columns: Columns, former: Sample | null, sample: Sample, latency: number | null): Columns {
  const seconds = former === null ? 0 : (sample.at - former.at) / 1000;
  const isGap = former === null || seconds <= 0 || seconds * 1000 > GAP_MS;
  const rate = (now: number, then: number | undefined): number | null =>
    isGap || then === undefined || now < then ? null : (now - then) / seconds;
  const add = <T>(column: readonly T[], value: T): readonly T[] => [...column.slice(1 - KEPT), value];
  return {
    x: add(columns.x, sample.at / 1000),
    messagesIn: add(columns.messagesIn, rate(sample.messagesReceived, former?.messagesReceived)),
    messagesOut: add(columns.messagesOut, rate(sample.messagesSent, former?.messagesSent)),
    bytesIn: add(columns.bytesIn, rate(sample.bytesReceived, former?.bytesReceived)),
    bytesOut: add(columns.bytesOut, rate(sample.bytesSent, former?.bytesSent)),
    clients: add(columns.clients, sample.clients),
    latency: add(columns.latency, latency),
    waiting: add(columns.waiting, sample.waiting),
    dropped: add(columns.dropped, rate(sample.dropped, former?.dropped)),
    memory: add(columns.memory, sample.memory),
  };
}

/** A look at the counters that `$SYS` tells; null: not enough came yet. */
export function sampleOfSys(values: ReadonlyMap<string, string>, at: number): Sample | null {
  const number = (name: string): number => Number.parseFloat(values.get(SYS + name) ?? "NaN");
  const sample = {
    at,
    messagesReceived: number("publish/messages/received"),
    messagesSent: number("publish/messages/sent"),
    bytesReceived: number("bytes/received"),
    bytesSent: number("bytes/sent"),
    clients: number("clients/connected"),
    dropped: number("publish/messages/dropped"),
  };
  if (Object.values(sample).some(Number.isNaN)) return null;
  const memory = number("heap/current");
  return { ...sample, waiting: null, memory: Number.isNaN(memory) ? null : memory };
}

export class Samples {
  readonly columns = signal<Columns>(NOTHING);
  readonly broker = signal<BrokerInfo | null>(null);
  /** What `$SYS` says, where the API is not ours to ask. */
  readonly sys = signal<ReadonlyMap<string, string>>(new Map());
  readonly latest = signal<Sample | null>(null);
  readonly problem = signal<string | null>(null);

  private isRunning = false;
  private run = 0;
  private endSys: (() => void) | null = null;
  private readonly sysValues = new Map<string, string>();

  constructor(
    private readonly api: Api,
    private readonly link: Link,
  ) {}

  /** Ask from now on; returns how to end that. */
  start(): () => void {
    this.isRunning = true;
    const run = ++this.run;
    void this.ask(run);
    return () => {
      this.isRunning = false;
      this.endSys?.();
      this.endSys = null;
    };
  }

  private async ask(run: number): Promise<void> {
    while (this.isRunning && run === this.run) {
      const begun = performance.now();
      if (!document.hidden) await this.look();
      await new Promise((resolve) => setTimeout(resolve, Math.max(100, SAMPLE_MS - (performance.now() - begun))));
    }
  }

  private async look(): Promise<void> {
    if (this.endSys !== null) return; // $SYS comes by itself
    try {
      const [info, latency] = await Promise.all([this.api.broker(), this.link.ping()]);
      this.broker.value = info;
      this.problem.value = null;
      const { statistics } = info;
      this.add(
        {
          at: Date.now(),
          messagesReceived: statistics.messages_received,
          messagesSent: statistics.messages_sent,
          bytesReceived: statistics.bytes_received,
          bytesSent: statistics.bytes_sent,
          clients: statistics.clients,
          dropped: statistics.dropped,
          waiting: info.queue.messages,
          memory: info.memory,
        },
        latency,
      );
    } catch (error) {
      if (error instanceof ApiError && (error.status === 403 || error.status === 404)) this.listenToSys();
      else this.problem.value = error instanceof Error ? error.message : String(error);
    }
  }

  private add(sample: Sample, latency: number | null): void {
    this.columns.value = extended(this.columns.value, this.latest.value, sample, latency);
    this.latest.value = sample;
  }

  private listenToSys(): void {
    const decoder = new TextDecoder();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const settle = async (): Promise<void> => {
      timer = undefined;
      const latency = await this.link.ping();
      this.sys.value = new Map(this.sysValues);
      const sample = sampleOfSys(this.sysValues, Date.now());
      if (sample !== null) this.add(sample, latency);
    };
    this.endSys = this.link.subscribe(`${SYS}#`, (topic, payload) => {
      this.sysValues.set(topic, decoder.decode(payload));
      // They come together: one look for all of them.
      timer ??= setTimeout(() => void settle(), 200);
    });
  }
}
