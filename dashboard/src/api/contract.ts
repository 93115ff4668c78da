/** What the broker's REST API answers, as its OpenAPI description says. Times are RFC 3339 in UTC. */

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export interface Me {
  readonly user: string | null;
  readonly administrator: boolean;
  /** For the header X-Telex-Token; null: nobody had to log in. */
  readonly token: string | null;
  readonly mqtt: { readonly path: string };
}

export interface ListenerInfo {
  readonly address: string;
  readonly protocol: string;
  readonly tls: boolean;
  readonly clients: number;
}

export interface BrokerInfo {
  readonly name: string;
  readonly version: string;
  readonly compiled: boolean;
  readonly started: string;
  /** Seconds. */
  readonly uptime: number;
  readonly listeners: readonly ListenerInfo[];
  readonly limits: Readonly<Record<string, number | string | boolean | null>>;
  readonly statistics: Statistics;
  /** Bytes; null: the system does not tell. */
  readonly memory: number | null;
  /** Whether what must outlive the broker can be stored. */
  readonly store: "ok" | "failing" | "memory";
  readonly queue: { readonly messages: number; readonly bytes: number };
}

export interface Statistics {
  readonly clients: number;
  readonly sessions: number;
  readonly subscriptions: number;
  readonly retained: number;
  readonly retained_bytes: number;
  readonly messages_received: number;
  readonly messages_sent: number;
  readonly bytes_received: number;
  readonly bytes_sent: number;
  readonly dropped: number;
  /** Connections that were turned away before their first byte. */
  readonly refused: number;
  /** Seconds that a turn of the broker took; null: it was idle. */
  readonly latency: { readonly median: number | null; readonly p99: number | null };
}

export interface Publisher {
  /** null: it came by the API. */
  readonly client_id: string | null;
  readonly user: string | null;
}

export interface Retained {
  readonly topic: string;
  readonly size: number;
  readonly qos: number;
  readonly published: string | null;
  readonly publisher: Publisher | null;
  readonly expires: string | null;
}

export interface RetainedWhole extends Retained {
  readonly payload_base64: string;
}

export interface Removal {
  readonly matched: number;
  readonly removed: number;
}

export interface ClientRates {
  readonly messages_received_per_second: number;
  readonly messages_sent_per_second: number;
  readonly bytes_received_per_second: number;
  readonly bytes_sent_per_second: number;
}

export interface ClientInfo {
  readonly client_id: string;
  /** The name of the bridge that it is; null: a client. */
  readonly bridge: string | null;
  readonly user: string | null;
  readonly address: string;
  readonly listener: string;
  readonly protocol: string;
  readonly version: string;
  /** Its version; null: none. */
  readonly tls: string | null;
  readonly connected: string;
  readonly keep_alive: number;
  readonly clean_start: boolean;
  readonly session_expiry: number | null;
  readonly subscriptions: number;
  readonly queued: number;
  readonly in_flight: number;
  readonly messages_received: number;
  readonly messages_sent: number;
  readonly bytes_received: number;
  readonly bytes_sent: number;
  readonly rates: ClientRates;
  readonly will_topic: string | null;
}

export interface SessionInfo {
  readonly client_id: string;
  readonly connected: boolean;
  /** The name of the bridge that it belongs to; null: a client's. */
  readonly bridge: string | null;
  readonly user: string | null;
  /** Seconds that it outlives its connection; null: for ever. */
  readonly session_expiry: number | null;
  readonly ends: string | null;
  readonly subscriptions: number;
  readonly queued: number;
  readonly in_flight: number;
  readonly dropped: number;
}

/** `waiting`: for the next attempt. `idle`: a lazy one, without enough messages. `ended`: started once, and over. */
export type BridgeState = "open" | "connecting" | "waiting" | "idle" | "ended";

export interface BridgeInfo {
  readonly name: string;
  readonly state: BridgeState;
  readonly since: string;
  /** Where it is connected, or has tried last. */
  readonly address: string;
  /** Why the last connection or attempt ended; null: none has. */
  readonly reason: string | null;
  /** null: it does not try again by time. */
  readonly next_attempt: string | null;
  readonly version: string;
  /** Its version; null: none. */
  readonly tls: string | null;
  /** At the remote broker. */
  readonly client_id: string;
  readonly local_client_id: string;
  readonly queued: number;
  readonly in_flight: number;
  /** Seconds from the arrival of a message here to the remote broker's word that it has it. */
  readonly delay: number;
  /** These and all that follow since the broker's start. */
  readonly connections: number;
  readonly messages_received: number;
  readonly messages_sent: number;
  readonly bytes_received: number;
  readonly bytes_sent: number;
  readonly rates: ClientRates;
  readonly filtered: number;
  readonly looped: number;
  readonly rejected: number;
  /** Topic filters that it may not subscribe to, and why. */
  readonly refused: Readonly<Record<string, string>>;
}

export interface SubscriptionInfo {
  readonly client_id: string;
  readonly filter: string;
  readonly qos: number;
  /** The group of a shared one. */
  readonly share: string | null;
}

export interface Ban {
  readonly id: string;
  readonly address: string | null;
  readonly client_id: string | null;
  readonly user: string | null;
  readonly until: string;
  readonly why: string;
  /** Failed logins began it. */
  readonly automatic: boolean;
}

export interface NewBan {
  readonly address?: string;
  readonly client_id?: string;
  readonly user?: string;
  readonly seconds: number;
  readonly why: string;
}

export type EventKind = "connected" | "disconnected" | "refused" | "denied" | "banned" | "takeover";

export interface BrokerEvent {
  readonly time: string;
  readonly kind: EventKind;
  readonly client_id: string | null;
  readonly user: string | null;
  readonly address: string | null;
  readonly why: string;
  readonly rule: string | null;
  /** How often in a row. */
  readonly count: number;
}
