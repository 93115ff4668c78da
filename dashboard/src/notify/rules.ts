/** When a message is worth a notification. Knows no browser. */

import { numberIn } from "../topics/numbers";

export type When = "any" | "changed" | "above" | "below";

export interface Rule {
  readonly topic: string;
  readonly when: When;
  /** The bound, where there is one. */
  readonly bound: number;
}

/** Two notifications of one topic are at least so far apart: a phone that hums all day is put away. */
export const LEAST_MS = 10_000;

/** What one rule has seen so far. */
export class Ruling {
  private former: Uint8Array | null = null;
  private wasBeyond = false;
  private notifiedAt = -Infinity;
  /** Messages that were worth one, and came too soon after another. */
  private skipped = 0;

  constructor(readonly rule: Rule) {}

  /** Take in a message: how many others were skipped before it when it is to be told, otherwise null. */
  judge(payload: Uint8Array, now: number): number | null {
    if (!this.isWorth(payload)) return null;
    if (now - this.notifiedAt < LEAST_MS) {
      this.skipped++;
      return null;
    }
    const skipped = this.skipped;
    this.skipped = 0;
    this.notifiedAt = now;
    return skipped;
  }

  private isWorth(payload: Uint8Array): boolean {
    const { when, bound } = this.rule;
    if (when === "any") return true;
    if (when === "changed") {
      const former = this.former;
      this.former = payload.slice();
      return former !== null && !isSame(former, payload);
    }
    const value = numberIn(payload);
    if (Number.isNaN(value)) return false;
    const isBeyond = when === "above" ? value > bound : value < bound;
    const crossed = isBeyond && !this.wasBeyond; // told when it gets so, not as long as it is so
    this.wasBeyond = isBeyond;
    return crossed;
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** What was kept of rules; anything that is none is left out. */
export function rulesOf(text: string | null): Rule[] {
  try {
    const kept: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(kept) ? kept.filter(isRule) : [];
  } catch {
    return [];
  }
}

function isRule(value: unknown): value is Rule {
  if (typeof value !== "object" || value === null) return false;
  const rule = value as Partial<Record<keyof Rule, unknown>>;
  return (
    typeof rule.topic === "string" &&
    rule.topic !== "" &&
    typeof rule.bound === "number" &&
    ["any", "changed", "above", "below"].includes(String(rule.when))
  );
}
