/**
 * The page's own MQTT connection (MQTT 5, over `/mqtt`).
 *
 * Knows mqtt.js, and which filters are wanted: each has a subscription identifier, by which messages find who asked
 * for them. Knows no topics and no views.
 */

import { signal } from "@preact/signals";
import type { IPublishPacket, MqttClient, Packet } from "mqtt";
import mqtt from "mqtt";

export type LinkState = "connecting" | "online" | "offline" | "refused";

/** What the broker says of a message that stands for all of its topic in a period. */
export interface Sample {
  /** How many there were, this one included. */
  readonly messages: number;
  /** Bytes of their payloads. */
  readonly bytes: number;
  /** Milliseconds since 1970, by the broker's clock. */
  readonly at: number;
  /** Who published the last; null: who looks may not know, or it was the broker itself. */
  readonly client: string | null;
  readonly user: string | null;
}

/** Takes a message of one subscription. `payload` is good only until it returns. `sample`: null, if it stands for itself. */
export type Listener = (topic: string, payload: Uint8Array, qos: number, retained: boolean, sample: Sample | null) => void;

export interface Wish {
  /** Only what is published from now on, not what the broker has kept. */
  readonly isLive?: boolean;
  /** Of each topic one message in so many milliseconds, the last, which says how many there were. */
  readonly period?: number;
}

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export interface UserProperty {
  readonly name: string;
  readonly value: string;
}

export interface Properties {
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Uint8Array;
  /** Seconds. */
  readonly expiry?: number;
  readonly isText?: boolean;
  readonly user?: readonly UserProperty[];
}

export interface Outgoing {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly properties?: Properties;
}

interface Wanted {
  readonly filter: string;
  readonly id: number;
  readonly listener: Listener;
  readonly isLive: boolean;
  period: number | undefined;
}

const KEEP_ALIVE = 120; // seconds: browsers slow the timers of hidden tabs down to once a minute
const RECONNECT_MS = 2000;
const PING_TIMEOUT_MS = 10_000;
// Bad user name or password, not authorized, banned, bad authentication method (section 3.2.2.2)
const ABOUT_US = new Set([0x86, 0x87, 0x8a, 0x8c]);
const NO_RETAINED = 2; // retain handling, section 3.8.3.1
const PERIOD = "telex.sample";
const NO_MATCHING_SUBSCRIBERS = 0x10;

/** The broker took the message, or said no to it: then `problem` has its words. */
export interface Receipt {
  readonly problem: string | null;
  readonly isNobodySubscribed: boolean;
}

export class Link {
  readonly state = signal<LinkState>("offline");
  /** What the broker said when it did not let us in. */
  readonly problem = signal<string | null>(null);
  /** Filters that it did not let us subscribe to. */
  readonly refusals = signal<readonly string[]>([]);

  /** How the broker knows this page. */
  readonly clientId = `telex-page-${randomName()}`;

  private client: MqttClient | null = null;
  private readonly wanted = new Map<number, Wanted>();
  private nextId = 1;

  /** `address`: of the WebSocket. */
  constructor(private readonly address: string) {}

  open(credentials: Credentials | null): void {
    this.close();
    this.state.value = "connecting";
    this.problem.value = null;
    const client = mqtt.connect(this.address, {
      protocolVersion: 5,
      clientId: this.clientId,
      clean: true,
      keepalive: KEEP_ALIVE,
      reconnectPeriod: RECONNECT_MS,
      reconnectOnConnackError: true, // a broker that is busy now may not be so later
      resubscribe: false, // we know better what is wanted by then
      queueQoSZero: false,
      timerVariant: "native", // the other one is a worker from a blob:, which the content policy forbids
      ...(credentials === null ? {} : { username: credentials.user, password: credentials.password }),
    });
    this.client = client;
    client.on("connect", () => {
      this.state.value = "online";
      this.problem.value = null;
      for (const wanted of this.wanted.values()) this.ask(wanted);
    });
    client.on("message", (topic, payload, packet) => this.arrived(topic, payload, packet));
    client.on("close", () => {
      if (this.client === client && this.state.value !== "refused") this.state.value = "offline";
    });
    client.on("reconnect", () => {
      if (this.client === client) this.state.value = "connecting";
    });
    client.on("error", (error) => {
      if (this.client !== client) return;
      this.problem.value = error.message;
      // To try again with the same name and password would only count towards a ban.
      if ("code" in error && typeof error.code === "number" && ABOUT_US.has(error.code)) {
        this.state.value = "refused";
        client.end(true);
      }
    });
  }

  close(): void {
    const client = this.client;
    this.client = null;
    client?.end(true);
    this.state.value = "offline";
  }

  /** Have messages of a filter sent to a listener, now and after each reconnection; returns how to end that. */
  subscribe(filter: string, listener: Listener, { isLive = false, period }: Wish = {}): () => void {
    const wanted = { filter, id: this.nextId++, listener, isLive, period };
    // The broker keeps one subscription for a filter: the later one takes its place.
    this.wanted.set(wanted.id, wanted);
    this.ask(wanted);
    return () => {
      this.wanted.delete(wanted.id);
      this.refusals.value = this.refusals.value.filter((each) => each !== filter);
      if (this.state.value !== "online") return;
      const another = [...this.wanted.values()].find((each) => each.filter === filter);
      if (another === undefined) this.client?.unsubscribe(filter);
      else this.ask(another);
    };
  }

  /** Have the broker tell of each topic in another period, where it was subscribed with one. */
  resample(filter: string, period: number): void {
    for (const wanted of this.wanted.values()) {
      if (wanted.filter !== filter || wanted.period === undefined) continue;
      wanted.period = period;
      this.ask(wanted, true);
    }
  }

  /** Publish, and wait for the broker's answer where the QoS has one. */
  publish(message: Outgoing): Promise<Receipt> {
    const client = this.client;
    if (client === null || this.state.value !== "online") {
      return Promise.resolve({ problem: "There is no connection to the broker.", isNobodySubscribed: false });
    }
    return new Promise((resolve) => {
      // mqtt.js does not hand out acknowledgements that are no refusals: they are seen as they pass.
      const unheard = new Set<number>();
      const onPacket = (packet: Packet): void => {
        const isAnswer = packet.cmd === "puback" || packet.cmd === "pubrec";
        if (isAnswer && packet.reasonCode === NO_MATCHING_SUBSCRIBERS) unheard.add(packet.messageId ?? 0);
      };
      client.on("packetreceive", onPacket);
      client.publish(
        message.topic,
        message.payload as Buffer,
        { qos: message.qos, retain: message.retain, properties: packed(message.properties) },
        (error, packet) => {
          client.off("packetreceive", onPacket);
          resolve({ problem: error?.message ?? null, isNobodySubscribed: unheard.has(packet?.messageId ?? -1) });
        },
      );
    });
  }

  /** Milliseconds from a PINGREQ to its PINGRESP; null: no connection, or no answer. */
  ping(): Promise<number | null> {
    const client = this.client;
    if (client === null || this.state.value !== "online") return Promise.resolve(null);
    return new Promise((resolve) => {
      const asked = performance.now();
      const done = (result: number | null): void => {
        clearTimeout(timer);
        client.off("packetreceive", onPacket);
        resolve(result);
      };
      const onPacket = (packet: { cmd: string }): void => {
        if (packet.cmd === "pingresp") done(performance.now() - asked);
      };
      const timer = setTimeout(() => done(null), PING_TIMEOUT_MS);
      client.on("packetreceive", onPacket);
      client.sendPing();
    });
  }

  private ask(wanted: Wanted, isLive = wanted.isLive): void {
    if (this.client === null || this.state.value !== "online") return;
    const userProperties = wanted.period === undefined ? undefined : { [PERIOD]: String(wanted.period) };
    this.client.subscribe(
      wanted.filter,
      {
        qos: 0,
        rap: true, // so a message tells whether the broker keeps it, also while it is live
        rh: isLive ? NO_RETAINED : 0,
        properties: { subscriptionIdentifier: wanted.id, ...(userProperties === undefined ? {} : { userProperties }) },
      },
      (error) => {
        const others = this.refusals.value.filter((filter) => filter !== wanted.filter);
        this.refusals.value = error !== null && this.wanted.has(wanted.id) ? [...others, wanted.filter] : others;
      },
    );
  }

  private arrived(topic: string, payload: Uint8Array, packet: IPublishPacket): void {
    // Not mqtt.js' Buffer: a slice of that is no copy, and would keep all alive that came with it.
    const bytes = new Uint8Array(payload.buffer, payload.byteOffset, payload.length);
    const ids = packet.properties?.subscriptionIdentifier;
    const sample = sampleOf(packet.properties?.userProperties);
    if (typeof ids === "number") this.give(ids, topic, bytes, packet, sample);
    else for (const id of ids ?? []) this.give(id, topic, bytes, packet, sample);
  }

  private give(id: number, topic: string, payload: Uint8Array, { qos, retain }: IPublishPacket, sample: Sample | null): void {
    const first = this.wanted.get(id);
    if (first === undefined) return;
    first.listener(topic, payload, qos, retain, sample);
    // Others with the same filter share the broker's one subscription.
    if (this.wanted.size > 1) {
      for (const other of this.wanted.values()) {
        if (other !== first && other.filter === first.filter) other.listener(topic, payload, qos, retain, sample);
      }
    }
  }
}

/** What the broker has added to a message's user properties; null: nothing. */
function sampleOf(added: NonNullable<IPublishPacket["properties"]>["userProperties"]): Sample | null {
  const text = (name: string): string | null => {
    const value = added !== undefined && Object.hasOwn(added, name) ? added[name] : undefined;
    // Its own stand behind those of whoever published.
    return (typeof value === "string" ? value : value?.at(-1)) ?? null;
  };
  const messages = Number(text("telex.messages") ?? NaN);
  if (!(messages > 0)) return null;
  return {
    messages,
    bytes: Number(text("telex.bytes")),
    at: Number(text("telex.at")),
    client: text("telex.client"),
    user: text("telex.user"),
  };
}

function packed(properties: Properties | undefined): NonNullable<IPublishPacket["properties"]> {
  const result: NonNullable<IPublishPacket["properties"]> = {};
  if (properties === undefined) return result;
  if (properties.isText) result.payloadFormatIndicator = true;
  if (properties.contentType) result.contentType = properties.contentType;
  if (properties.responseTopic) result.responseTopic = properties.responseTopic;
  if (properties.correlationData?.length) result.correlationData = properties.correlationData as Buffer;
  if (properties.expiry !== undefined) result.messageExpiryInterval = properties.expiry;
  if (properties.user?.length) {
    const user = Object.create(null) as Record<string, string[]>; // a name may be __proto__
    for (const { name, value } of properties.user) (user[name] ??= []).push(value);
    result.userProperties = user;
  }
  return result;
}

function randomName(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(36).padStart(2, "0")).join("");
}
