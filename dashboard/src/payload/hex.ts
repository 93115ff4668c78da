/** Bytes as lines of sixteen, and hex that people wrote as bytes. */

export interface HexLine {
  readonly offset: string;
  readonly bytes: string;
  readonly text: string;
}

const A_LINE = 16;

/** The first `most` lines. */
export function hexLines(payload: Uint8Array, most: number): HexLine[] {
  const lines: HexLine[] = [];
  for (let offset = 0; offset < payload.length && lines.length < most; offset += A_LINE) {
    const part = payload.subarray(offset, offset + A_LINE);
    lines.push({
      offset: offset.toString(16).padStart(6, "0"),
      bytes: Array.from(part, (byte) => byte.toString(16).padStart(2, "0")).join(" "),
      text: Array.from(part, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join(""),
    });
  }
  return lines;
}

export function countHexLines(payload: Uint8Array): number {
  return Math.ceil(payload.length / A_LINE);
}

/** Bytes of a text such as `0a ff 10`; spaces, colons and 0x are let through. Null: it is no such text. */
export function bytesOfHex(text: string): Uint8Array | null {
  const digits = text.replace(/0x/gi, "").replace(/[\s:,]/g, "");
  if (digits.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(digits)) return null;
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** Bytes of a Base64 text; null: it is none. */
export function bytesOfBase64(text: string): Uint8Array | null {
  try {
    return Uint8Array.from(atob(text.replace(/\s/g, "")), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

export function base64OfBytes(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
