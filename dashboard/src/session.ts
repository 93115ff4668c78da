/** Who looks at the page: signed in or not, and with which rights. Knows the API and the link, and no view. */

import { signal } from "@preact/signals";
import { ApiError, type Api } from "./api/api";
import type { Me } from "./api/contract";
import type { Link } from "./link/link";

export type Phase = "loading" | "signed-out" | "ready" | "unreachable";

const RETRY_MS = 3000;

export class Session {
  readonly phase = signal<Phase>("loading");
  readonly me = signal<Me | null>(null);
  /** Why signing in failed, in words. */
  readonly problem = signal<string | null>(null);

  /** Who looked at the page last; undefined: nobody yet. */
  private former: string | null | undefined;

  /** `restart`: load the page anew, so that nothing is left in it of what the one before saw. */
  constructor(
    private readonly api: Api,
    private readonly link: Link,
    private readonly restart: () => void = () => location.reload(),
  ) {
    api.onSignedOut = () => {
      if (this.phase.value !== "ready") return;
      this.link.close();
      this.me.value = null;
      this.problem.value = "The broker has forgotten this login.";
      this.phase.value = "signed-out";
    };
    // Rights may have changed, or the broker has forgotten the cookie: then one has to sign in again.
    link.state.subscribe((state) => {
      if (state === "refused") void this.refused();
    });
  }

  /** Find out who we are, and connect. */
  async start(): Promise<void> {
    try {
      const me = await this.api.me();
      this.former = me.user;
      this.me.value = me;
      this.phase.value = "ready";
      this.link.open(null);
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        this.phase.value = "signed-out";
        return;
      }
      this.phase.value = "unreachable";
      setTimeout(() => void this.start(), RETRY_MS);
    }
  }

  async signIn(user: string, password: string): Promise<void> {
    this.problem.value = null;
    try {
      await this.api.signIn(user, password);
      const me = await this.api.me();
      if (this.former !== undefined && this.former !== me.user) {
        this.forget();
        return;
      }
      this.former = me.user;
      this.me.value = me;
      this.phase.value = "ready";
      this.link.open({ user, password });
    } catch (error) {
      this.problem.value = error instanceof Error ? error.message : String(error);
    }
  }

  async signOut(): Promise<void> {
    this.link.close();
    try {
      await this.api.signOut();
    } finally {
      this.me.value = null;
      this.phase.value = "signed-out";
      this.forget();
    }
  }

  private forget(): void {
    sessionStorage.clear(); // what was sent
    this.restart();
  }

  private async refused(): Promise<void> {
    const why = this.link.problem.value;
    try {
      // Who is somebody for the API and nobody for MQTT has to give the password once more.
      this.me.value = await this.api.me();
    } catch {
      this.me.value = null;
    }
    this.problem.value = why === null ? null : `The broker refused the connection: ${why}`;
    this.phase.value = "signed-out";
  }
}
