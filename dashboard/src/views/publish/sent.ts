/** What was sent from this tab, and what the broker said to it. Closing the tab forgets it. */

import { signal } from "@preact/signals";
import type { Receipt } from "../../link/link";
import { EMPTY, type Draft } from "./draft";

export interface Sent {
  readonly id: number;
  readonly at: number;
  readonly draft: Draft;
  /** null: the answer has not come yet. */
  readonly receipt: Receipt | null;
}

const SAVED = "telex.sent";
const MOST = 50;
const LONGEST_KEPT = 10_000; // characters of a payload that survives a reload

export const sent = signal<readonly Sent[]>(restored(sessionStorage.getItem(SAVED)));
let next = sent.value.reduce((most, each) => Math.max(most, each.id + 1), 0);

/** Remember a message that is leaving; returns its number. */
export function remember(draft: Draft): number {
  const id = next++;
  keep([{ id, at: Date.now(), draft, receipt: null }, ...sent.value].slice(0, MOST));
  return id;
}

/** The broker's answer has come. */
export function answered(id: number, receipt: Receipt): void {
  keep(sent.value.map((each) => (each.id === id ? { ...each, receipt } : each)));
}

export function forgetAll(): void {
  keep([]);
}

function keep(all: readonly Sent[]): void {
  sent.value = all;
  const short = all.filter((each) => each.draft.payload.length <= LONGEST_KEPT);
  try {
    sessionStorage.setItem(SAVED, JSON.stringify(short));
  } catch {
    // No room: then a reload forgets.
  }
}

function restored(text: string | null): readonly Sent[] {
  try {
    const kept = JSON.parse(text ?? "[]") as readonly Sent[];
    return kept.map((each) => ({ ...each, draft: { ...EMPTY, ...each.draft } }));
  } catch {
    return [];
  }
}
