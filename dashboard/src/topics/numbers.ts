/** Numbers in payloads. */

const LONGEST = 32;
const DECIMAL = /^\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*$/;

/** The number that a payload is, as text; NaN: it is none. */
export function numberIn(payload: Uint8Array): number {
  if (payload.length === 0 || payload.length > LONGEST) return NaN;
  const first = payload[0];
  // Most payloads that are no numbers are told by their first byte: no text is made of them.
  if (!((first >= 48 && first <= 57) || first === 45 || first === 43 || first === 46 || first === 32)) return NaN;
  let text = "";
  for (const byte of payload) text += String.fromCharCode(byte);
  return DECIMAL.test(text) ? Number(text) : NaN;
}

/** One step into a JSON value: a key of an object, or an index of an array. */
export type Step = string | number;

/** The number at a place in a JSON value; NaN: there is none. Truth counts as 1 and 0, and so do texts as numbers. */
export function numberAt(value: unknown, path: readonly Step[]): number {
  let found: unknown = value;
  for (const step of path) {
    if (found === null || typeof found !== "object" || !Object.hasOwn(found, step)) return NaN;
    found = (found as Record<Step, unknown>)[step];
  }
  if (typeof found === "number") return found;
  if (typeof found === "boolean") return found ? 1 : 0;
  if (typeof found === "string" && DECIMAL.test(found)) return Number(found);
  return NaN;
}

/** A place in a JSON value as people write it: `rooms[0].temperature`. */
export function describePath(path: readonly Step[]): string {
  return path
    .map((step, i) => {
      if (typeof step === "number") return `[${step}]`;
      if (/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(step)) return i === 0 ? step : `.${step}`;
      return `[${JSON.stringify(step)}]`;
    })
    .join("");
}
