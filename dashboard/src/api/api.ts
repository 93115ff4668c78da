/**
 * The broker's REST API, one function for each call that the page makes.
 *
 * Knows addresses, the cookie's token and the form of errors. Knows no view and keeps nothing but the token.
 */

import type {
  Ban,
  BridgeInfo,
  BrokerEvent,
  BrokerInfo,
  ClientInfo,
  Me,
  NewBan,
  Page,
  Removal,
  Retained,
  RetainedWhole,
  SessionInfo,
  SubscriptionInfo,
} from "./contract";

/** The broker said no, or there is no broker: then `status` is 0. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export class Api {
  /** Called when the broker no longer knows who we are. */
  onSignedOut: (() => void) | null = null;
  private token: string | null = null;

  /** `base`: where the page stands; the API is below it. */
  constructor(
    private readonly base: string,
    private readonly fetcher: typeof fetch = (input, init) => fetch(input, init),
  ) {}

  async me(): Promise<Me> {
    const me = await this.ask<Me>("GET", "me");
    this.token = me.token;
    return me;
  }

  signIn(user: string, password: string): Promise<void> {
    return this.ask("POST", "session", {}, { user, password });
  }

  signOut(): Promise<void> {
    return this.ask("DELETE", "session");
  }

  broker(): Promise<BrokerInfo> {
    return this.ask("GET", "broker");
  }

  events(limit: number): Promise<Page<BrokerEvent>> {
    return this.ask("GET", "events", { limit });
  }

  retained(topic: string): Promise<RetainedWhole> {
    return this.ask("GET", `retained/${encodeURIComponent(topic)}`);
  }

  /** What is known of a topic's retained message, without its payload. */
  async retainedInfo(topic: string): Promise<Retained | null> {
    const { items } = await this.ask<Page<Retained>>("GET", "retained", { filter: topic, limit: 1 });
    return items.at(0) ?? null;
  }

  /** Remove retained messages, or with `dryRun` only count them. */
  removeRetained(filter: string, dryRun: boolean): Promise<Removal> {
    return this.ask("DELETE", "retained", { filter, dry_run: dryRun ? "true" : undefined });
  }

  clients(after?: string): Promise<Page<ClientInfo>> {
    return this.ask("GET", "clients", { limit: 200, after });
  }

  client(id: string): Promise<ClientInfo> {
    return this.ask("GET", `clients/${encodeURIComponent(id)}`);
  }

  disconnect(id: string, banSeconds?: number): Promise<void> {
    return this.ask("DELETE", `clients/${encodeURIComponent(id)}`, { ban: banSeconds });
  }

  sessions(after?: string): Promise<Page<SessionInfo>> {
    return this.ask("GET", "sessions", { limit: 200, after });
  }

  deleteSession(id: string): Promise<void> {
    return this.ask("DELETE", `sessions/${encodeURIComponent(id)}`);
  }

  subscriptions(clientId: string, after?: string): Promise<Page<SubscriptionInfo>> {
    return this.ask("GET", "subscriptions", { client_id: clientId, limit: 200, after });
  }

  bridges(): Promise<Page<BridgeInfo>> {
    return this.ask("GET", "bridges", { limit: 200 });
  }

  bans(after?: string): Promise<Page<Ban>> {
    return this.ask("GET", "bans", { limit: 200, after });
  }

  ban(ban: NewBan): Promise<void> {
    return this.ask("POST", "bans", {}, ban);
  }

  unban(id: string): Promise<void> {
    return this.ask("DELETE", `bans/${encodeURIComponent(id)}`);
  }

  private async ask<T>(method: string, path: string, query: Query = {}, body?: unknown): Promise<T> {
    const address = new URL(`api/v1/${path}`, this.base);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) address.searchParams.set(name, String(value));
    }
    // Whoever sends this header is a page that asks for a password by itself: the browser shall open no window for it.
    const headers: Record<string, string> = { Accept: "application/json", "X-Telex-Token": this.token ?? "none" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const init: RequestInit = { method, headers, credentials: "same-origin", cache: "no-store" };
    if (body !== undefined) init.body = JSON.stringify(body);
    let response: Response;
    try {
      response = await this.fetcher(address, init);
    } catch {
      throw new ApiError(0, "The broker does not answer.");
    }
    const text = await response.text();
    if (response.status === 401 && path !== "session") this.onSignedOut?.();
    if (!response.ok) throw new ApiError(response.status, detailOf(text) ?? `The broker answered ${response.status}.`);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }
}

/** What a problem (RFC 9457) says in words. */
function detailOf(text: string): string | null {
  try {
    const problem = JSON.parse(text) as { detail?: unknown; title?: unknown };
    if (typeof problem.detail === "string") return problem.detail;
    return typeof problem.title === "string" ? problem.title : null;
  } catch {
    return null;
  }
}
