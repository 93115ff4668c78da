/** Notifications for the topics that the user chose: they come also while the page is in the background. */

import { signal } from "@preact/signals";
import { formatCount } from "../format";
import type { Link } from "../link/link";
import { oneLine } from "../payload/kinds";
import { Ruling, rulesOf, type Rule } from "./rules";

const SAVED = "telex.notifications";
const SHOWN = 120; // bytes of a payload

export class Notifier {
  readonly rules = signal<readonly Rule[]>(rulesOf(localStorage.getItem(SAVED)));
  private readonly ends = new Map<string, () => void>();

  constructor(private readonly link: Link) {
    for (const rule of this.rules.value) this.listen(rule);
  }

  /** Whether this browser has notifications here; it has none on plain HTTP from another machine. */
  get isPossible(): boolean {
    return "Notification" in window && window.isSecureContext;
  }

  ruleOf(topic: string): Rule | undefined {
    return this.rules.value.find((rule) => rule.topic === topic);
  }

  /** Have a topic notified; asks the user for leave first. False: there is none. */
  async add(rule: Rule): Promise<boolean> {
    if ((await Notification.requestPermission()) !== "granted") return false;
    this.remove(rule.topic);
    this.rules.value = [...this.rules.value, rule];
    this.save();
    this.listen(rule);
    return true;
  }

  remove(topic: string): void {
    this.ends.get(topic)?.();
    this.ends.delete(topic);
    this.rules.value = this.rules.value.filter((rule) => rule.topic !== topic);
    this.save();
  }

  private save(): void {
    localStorage.setItem(SAVED, JSON.stringify(this.rules.value));
  }

  private listen(rule: Rule): void {
    const ruling = new Ruling(rule);
    const end = this.link.subscribe(
      rule.topic,
      (_topic, payload) => {
        const skipped = ruling.judge(payload, Date.now());
        if (skipped !== null) void show(rule.topic, payload, skipped);
      },
      { isLive: true },
    );
    this.ends.set(rule.topic, end);
  }
}

async function show(topic: string, payload: Uint8Array, skipped: number): Promise<void> {
  if (Notification.permission !== "granted") return;
  const value = oneLine(payload.subarray(0, SHOWN), payload.length) || "empty";
  const options: NotificationOptions = {
    body: skipped === 0 ? value : `${value}\n${formatCount(skipped)} more since the last`,
    tag: topic, // the newer takes the place of the older
    icon: "./icon-192.png",
    data: { topic },
  };
  // On phones only a service worker may show one.
  const registration = await navigator.serviceWorker?.getRegistration();
  if (registration !== undefined) await registration.showNotification(topic, options);
  else new Notification(topic, options).onclick = () => window.focus();
}
