/** A message as somebody writes it, and whether it can be sent. Knows no screen and no connection. */

import type { Outgoing, Properties, UserProperty } from "../../link/link";
import { bytesOfBase64, bytesOfHex } from "../../payload/hex";
import { faultOfTopic } from "../../topics/filter";

export const FORMATS = ["text", "json", "hex", "base64"] as const;
export type Format = (typeof FORMATS)[number];

export interface Draft {
  readonly topic: string;
  readonly format: Format;
  readonly payload: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** Whether the receiver is told that the payload is UTF-8 text. */
  readonly isText: boolean;
  readonly contentType: string;
  readonly responseTopic: string;
  /** Hex. */
  readonly correlationData: string;
  /** Seconds, or nothing. */
  readonly expiry: string;
  readonly user: readonly UserProperty[];
}

export const EMPTY: Draft = {
  topic: "",
  format: "text",
  payload: "",
  qos: 0,
  retain: false,
  isText: false,
  contentType: "",
  responseTopic: "",
  correlationData: "",
  expiry: "",
  user: [],
};

const LONGEST_EXPIRY = 0xffff_ffff; // a Four Byte Integer, section 3.3.2.3.3

export type Faults = Partial<Record<"topic" | "payload" | "responseTopic" | "correlationData" | "expiry", string>>;

/** What stands in the way of sending it, field by field. */
export function faultsOf(draft: Draft): Faults {
  const faults: Faults = {};
  const topic = faultOfTopic(draft.topic);
  if (topic !== null) faults.topic = topic;
  const payload = faultOfPayload(draft.format, draft.payload);
  if (payload !== null) faults.payload = payload;
  const response = draft.responseTopic === "" ? null : faultOfTopic(draft.responseTopic);
  if (response !== null) faults.responseTopic = response;
  if (bytesOfHex(draft.correlationData) === null) faults.correlationData = "Expected hex, two digits for each byte.";
  if (draft.expiry.trim() !== "" && expiryOf(draft) === undefined) faults.expiry = "Expected a whole number of seconds.";
  return faults;
}

function faultOfPayload(format: Format, payload: string): string | null {
  switch (format) {
    case "text":
      return null;
    case "json":
      try {
        JSON.parse(payload);
        return null;
      } catch (error) {
        return `This is no JSON: ${error instanceof Error ? error.message : String(error)}`;
      }
    case "hex":
      return bytesOfHex(payload) === null ? "Expected hex, two digits for each byte, such as 0a ff 10." : null;
    case "base64":
      return bytesOfBase64(payload) === null ? "This is no Base64." : null;
  }
}

/** The payload's bytes; what is wrong counts as nothing: ask `faultsOf` first. */
export function bytesOf(draft: Draft): Uint8Array {
  const nothing = new Uint8Array();
  if (draft.format === "hex") return bytesOfHex(draft.payload) ?? nothing;
  if (draft.format === "base64") return bytesOfBase64(draft.payload) ?? nothing;
  return new TextEncoder().encode(draft.payload);
}

export function messageOf(draft: Draft): Outgoing {
  const expiry = expiryOf(draft);
  const properties: Properties = {
    isText: draft.isText && (draft.format === "text" || draft.format === "json"),
    contentType: draft.contentType.trim(),
    responseTopic: draft.responseTopic,
    correlationData: bytesOfHex(draft.correlationData) ?? new Uint8Array(),
    user: draft.user.filter((property) => property.name !== "" || property.value !== ""),
    ...(expiry === undefined ? {} : { expiry }),
  };
  return { topic: draft.topic, payload: bytesOf(draft), qos: draft.qos, retain: draft.retain, properties };
}

function expiryOf(draft: Draft): number | undefined {
  const text = draft.expiry.trim();
  if (!/^\d+$/.test(text)) return undefined;
  const seconds = Number(text);
  return seconds <= LONGEST_EXPIRY ? seconds : undefined;
}
