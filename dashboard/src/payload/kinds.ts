/** What a payload seems to be, told by its bytes. Knows nothing of how it is shown. */

export type View = "text" | "json" | "hex" | "image";

const MAGIC: readonly (readonly [string, readonly number[]])[] = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
  ["image/bmp", [0x42, 0x4d]],
];

const LEAST_BMP = 54; // its headers: a text may begin with BM as well

/** The media type of an image that browsers show; null: it is none. */
export function imageType(payload: Uint8Array): string | null {
  for (const [type, magic] of MAGIC) {
    if (type === "image/bmp" && payload.length < LEAST_BMP) continue;
    if (magic.every((byte, i) => payload[i] === byte)) return type;
  }
  if (ascii(payload, 0, 4) === "RIFF" && ascii(payload, 8, 12) === "WEBP") return "image/webp";
  if (ascii(payload, 4, 8) === "ftyp" && ["avif", "avis"].includes(ascii(payload, 8, 12))) return "image/avif";
  if (/^(\uFEFF|\s)*(<\?xml[^>]*>\s*)?(<!--[\s\S]*?-->\s*)?<svg[\s>/]/.test(ascii(payload, 0, 1024))) return "image/svg+xml";
  return null;
}

/** A payload as text; null: it is not UTF-8, or has characters that no text has. */
export function textOf(payload: Uint8Array): string | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(payload);
    return /[\u0000-\u0008\u000e-\u001a\u001c-\u001f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/** A payload as text whatever it is: what is not UTF-8 becomes U+FFFD. */
export function looseText(payload: Uint8Array): string {
  return new TextDecoder("utf-8").decode(payload);
}

/** An object or array of JSON; undefined: it is none. Single values are better read as text. */
export function jsonOf(payload: Uint8Array): object | undefined {
  const first = payload.find((byte) => byte > 32);
  if (first !== 0x7b && first !== 0x5b) return undefined;
  try {
    const value: unknown = JSON.parse(looseText(payload));
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** A JSON text longer than that is read as text only. */
const LONGEST_JSON = 2 * 1024 * 1024;

export interface Examined {
  /** The ways in which it can be shown. */
  readonly views: readonly View[];
  readonly best: View;
  readonly json: object | undefined;
  readonly imageType: string | null;
  readonly isText: boolean;
}

/** Look at a payload once. */
export function examine(payload: Uint8Array): Examined {
  const json = payload.length > LONGEST_JSON ? undefined : jsonOf(payload);
  const image = imageType(payload);
  const isText = textOf(payload) !== null;
  const views: View[] = ["text", "hex"];
  if (json !== undefined) views.splice(1, 0, "json");
  if (image !== null) views.push("image");
  const best = image !== null ? "image" : json !== undefined ? "json" : isText ? "text" : "hex";
  return { views, best, json, imageType: image, isText };
}

/** A payload in one line, for lists: control characters and line ends become spaces, bytes become hex, images their type. */
export function oneLine(beginning: Uint8Array, size: number): string {
  if (size === 0) return "";
  const text = cutText(beginning, size);
  if (text === null) {
    const image = imageType(beginning);
    if (image !== null) return image;
    const bytes = [...beginning.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    return size > 16 ? `${bytes} …` : bytes;
  }
  const line = text.replace(/\s+/g, " ").trim();
  return size > beginning.length ? `${line}…` : line;
}

/** Text whose last character may have been cut through. */
function cutText(beginning: Uint8Array, size: number): string | null {
  const text = textOf(beginning);
  if (text !== null || size <= beginning.length) return text;
  for (let cut = 1; cut <= 3; cut++) {
    const shorter = textOf(beginning.subarray(0, beginning.length - cut));
    if (shorter !== null) return shorter;
  }
  return null;
}

function ascii(payload: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...payload.subarray(from, Math.min(to, payload.length)));
}
