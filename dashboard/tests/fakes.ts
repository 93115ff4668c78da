/** Stand-ins for the broker: its REST contract, in memory, and an MQTT connection that a test speaks for. */
import { signal } from "@preact/signals";
import { Api } from "../src/api/api";
import type { Ban, BridgeInfo, BrokerEvent, BrokerInfo, ClientInfo, Retained, SessionInfo, SubscriptionInfo } from "../src/api/contract";
import { Link, type Credentials, type Listener, type Outgoing, type Receipt, type Sample, type Wish } from "../src/link/link";
import { Notifier } from "../src/notify/notifier";
import type { Page } from "../src/page";
import { Session } from "../src/session";
import { matches } from "../src/topics/filter";
import { TopicStore } from "../src/topics/store";
import { Watch } from "../src/topics/watch";
import { Samples } from "../src/views/overview/samples";

const BASE = "http://broker.test/";

export const CLIENT: ClientInfo = {
  client_id: "sensor-1",
  bridge: null,
  user: "ann",
  address: "10.0.0.7:50312",
  listener: "0.0.0.0:1883",
  protocol: "mqtt",
  version: "5.0",
  tls: null,
  connected: "2026-01-02T03:04:05Z",
  keep_alive: 60,
  clean_start: true,
  session_expiry: 300,
  subscriptions: 1,
  queued: 2,
  in_flight: 1,
  messages_received: 10,
  messages_sent: 20,
  bytes_received: 1000,
  bytes_sent: 2000,
  rates: {
    messages_received_per_second: 1.5,
    messages_sent_per_second: 0.1,
    bytes_received_per_second: 150,
    bytes_sent_per_second: 10,
  },
  will_topic: "home/status",
};

export const BRIDGE: BridgeInfo = {
  name: "cloud",
  state: "open",
  since: "2026-01-02T03:04:05Z",
  address: "mqtts://cloud.example.org:8883",
  reason: null,
  next_attempt: null,
  version: "5.0",
  tls: "TLSv1.3",
  client_id: "house7",
  local_client_id: "local.house7",
  queued: 0,
  in_flight: 3,
  delay: 0.0123,
  connections: 2,
  messages_received: 40,
  messages_sent: 50_000,
  bytes_received: 4_000,
  bytes_sent: 5_000_000,
  rates: {
    messages_received_per_second: 0.1,
    messages_sent_per_second: 12,
    bytes_received_per_second: 10,
    bytes_sent_per_second: 1200,
  },
  filtered: 0,
  looped: 0,
  rejected: 0,
  refused: {},
};

export const BROKER: BrokerInfo = {
  name: "Telex",
  version: "0.1.0",
  compiled: true,
  started: "2026-01-02T03:04:05Z",
  uptime: 3700,
  store: "ok",
  listeners: [{ address: "0.0.0.0:1883", protocol: "mqtt", tls: false, clients: 3 }],
  limits: {},
  statistics: {
    clients: 3,
    sessions: 4,
    subscriptions: 5,
    retained: 6,
    retained_bytes: 600,
    messages_received: 1000,
    messages_sent: 2000,
    bytes_received: 30_000,
    bytes_sent: 40_000,
    dropped: 0,
    refused: 0,
    latency: { median: null, p99: null },
  },
  memory: 64 * 1024 * 1024,
  queue: { messages: 7, bytes: 700 },
};

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
  readonly token: string | null;
}

/** The broker's side of the contract, as far as the page uses it. */
export class FakeBroker {
  readonly asked: Asked[] = [];
  user: string | null = null;
  needsLogin = false;
  isAdministrator = true;
  info: BrokerInfo = BROKER;
  clients: ClientInfo[] = [CLIENT];
  sessions: SessionInfo[] = [];
  subscriptions: SubscriptionInfo[] = [{ client_id: "sensor-1", filter: "home/#", qos: 1, share: null }];
  bridges: BridgeInfo[] = [];
  bans: Ban[] = [];
  events: BrokerEvent[] = [];
  retained = new Map<string, string>();

  readonly fetch = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const address = new URL(String(input));
    const asked: Asked = {
      method: init.method ?? "GET",
      path: address.pathname.replace(/^\/api\/v1/, ""),
      query: address.searchParams,
      body: typeof init.body === "string" ? JSON.parse(init.body) : undefined,
      token: new Headers(init.headers).get("X-Telex-Token"),
    };
    this.asked.push(asked);
    return this.answer(asked);
  };

  private answer({ method, path, query, body }: Asked): Response {
    const [, first = "", ...rest] = path.split("/");
    const id = decodeURIComponent(rest.join("/"));
    if (first === "session" && method === "POST") {
      const { user, password } = body as { user: string; password: string };
      if (password !== "right") return problem(401, "Wrong user name or password.");
      this.user = user;
      return new Response(null, { status: 204 });
    }
    if (this.needsLogin && this.user === null) return problem(401, "Log in first.");
    switch (`${method} ${first}`) {
      case "DELETE session":
        this.user = null;
        return new Response(null, { status: 204 });
      case "GET me":
        return json({ user: this.user, administrator: this.isAdministrator, token: "tok", mqtt: { path: "/mqtt" } });
      case "GET broker":
        return json(this.info);
      case "GET events":
        return json({ items: this.events, next: null });
      case "GET retained":
        return id === "" ? json({ items: this.found(query).map(retainedOf), next: null }) : this.whole(id);
      case "DELETE retained":
        return this.remove(query);
      case "GET clients":
        if (id === "") return json({ items: this.clients, next: null });
        return json(this.clients.find((client) => client.client_id === id) ?? null);
      case "DELETE clients":
        this.clients = this.clients.filter((client) => client.client_id !== id);
        return new Response(null, { status: 204 });
      case "GET sessions":
        return json({ items: this.sessions, next: null });
      case "GET subscriptions":
        return json({ items: this.subscriptions, next: null });
      case "GET bridges":
        return json({ items: this.bridges, next: null });
      case "GET bans":
        return json({ items: this.bans, next: null });
      case "POST bans":
        return json({ id: "1" });
      default:
        return problem(404, "There is no such thing.");
    }
  }

  private found(query: URLSearchParams): string[] {
    const filter = (query.get("filter") ?? "#").split("/");
    return [...this.retained.keys()].filter((topic) => matches(filter, topic));
  }

  private whole(topic: string): Response {
    const payload = this.retained.get(topic);
    if (payload === undefined) return problem(404, "Nothing is retained there.");
    return json({ ...retainedOf(topic), payload_base64: btoa(payload) });
  }

  private remove(query: URLSearchParams): Response {
    const found = this.found(query);
    const isDry = query.get("dry_run") === "true";
    if (!isDry) for (const topic of found) this.retained.delete(topic);
    return json({ matched: found.length, removed: isDry ? 0 : found.length });
  }
}

function retainedOf(topic: string): Retained {
  return {
    topic,
    size: 4,
    qos: 1,
    published: "2026-01-02T03:04:05Z",
    publisher: { client_id: "sensor-1", user: "ann" },
    expires: null,
  };
}

function json(value: unknown): Response {
  return value === null ? problem(404, "There is no such client.") : new Response(JSON.stringify(value));
}

function problem(status: number, detail: string): Response {
  return new Response(JSON.stringify({ type: "about:blank", title: "Refused", status, detail }), { status });
}

/** An MQTT connection that a test speaks for. */
export class FakeLink extends Link {
  readonly published: Outgoing[] = [];
  receipt: Receipt = { problem: null, isNobodySubscribed: false };
  opened: (Credentials | null)[] = [];
  readonly filters = signal<readonly string[]>([]);
  /** Milliseconds, of those filters that are sampled. */
  readonly periods = new Map<string, number>();
  private readonly listeners = new Set<{ filter: string; listener: Listener; isSampled: boolean }>();

  constructor() {
    super("ws://broker.test/mqtt");
  }

  override open(credentials: Credentials | null): void {
    this.opened.push(credentials);
    this.state.value = "online";
  }

  override subscribe(filter: string, listener: Listener, { period }: Wish = {}): () => void {
    const entry = { filter, listener, isSampled: period !== undefined };
    if (period !== undefined) this.periods.set(filter, period);
    this.listeners.add(entry);
    this.filters.value = [...this.filters.value, filter];
    return () => {
      this.listeners.delete(entry);
      this.filters.value = this.filters.value.filter((each) => each !== filter);
    };
  }

  override resample(filter: string, period: number): void {
    this.periods.set(filter, period);
  }

  override publish(message: Outgoing): Promise<Receipt> {
    this.published.push(message);
    return Promise.resolve(this.receipt);
  }

  override ping(): Promise<number | null> {
    return Promise.resolve(1.5);
  }

  /** A message comes; a retained one is the broker's answer to SUBSCRIBE. `told` stands by it where it is sampled. */
  says(topic: string, payload: string | Uint8Array, { qos = 0, retained = false, told = {} as Partial<Sample> } = {}): void {
    const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
    const sample: Sample = { messages: 1, bytes: bytes.length, at: Date.now(), client: null, user: null, ...told };
    // What is sampled comes later than what is not.
    for (const { filter, listener, isSampled } of [...this.listeners].sort((a, b) => Number(a.isSampled) - Number(b.isSampled))) {
      if (!matches(filter.split("/"), topic)) continue;
      if (retained && !isSampled) continue;
      listener(topic, bytes, qos, retained, retained || !isSampled ? null : sample);
    }
  }
}

export interface World {
  readonly page: Page;
  readonly broker: FakeBroker;
  readonly link: FakeLink;
  /** How often the page was loaded anew. */
  restarts: number;
}

export function makeWorld(): World {
  localStorage.clear();
  const broker = new FakeBroker();
  const link = new FakeLink();
  const api = new Api(BASE, broker.fetch as typeof fetch);
  const page: Page = {
    base: BASE,
    api,
    link,
    session: new Session(api, link, () => world.restarts++),
    watch: new Watch(link, new TopicStore(Date.now())),
    samples: new Samples(api, link),
    notifier: new Notifier(link),
  };
  const world: World = { page, broker, link, restarts: 0 };
  return world;
}
