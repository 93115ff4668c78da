/** The order in which people count: `room2` before `room10`. */

const ZERO = 48;
const NINE = 57;

/** `from`: as many characters at the beginning are known to be the same. */
export function compareNaturally(a: string, b: string, from = 0): number {
  let i = from;
  let j = from;
  while (i < a.length && j < b.length) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(j);
    if (isDigit(x) && isDigit(y)) {
      const endOfA = endOfDigits(a, i);
      const endOfB = endOfDigits(b, j);
      const difference = compareDigits(a, i, endOfA, b, j, endOfB);
      if (difference !== 0) return difference;
      i = endOfA;
      j = endOfB;
    } else if (x !== y) {
      return x - y;
    } else {
      i++;
      j++;
    }
  }
  // `a01` and `a1` are not the same: something has to be first, and always the same one.
  return a.length - i - (b.length - j) || a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

/** By value, which may be larger than any number: without leading zeros, the longer is the larger. */
function compareDigits(a: string, i: number, endOfA: number, b: string, j: number, endOfB: number): number {
  while (i < endOfA - 1 && a.charCodeAt(i) === ZERO) i++;
  while (j < endOfB - 1 && b.charCodeAt(j) === ZERO) j++;
  if (endOfA - i !== endOfB - j) return endOfA - i - (endOfB - j);
  for (; i < endOfA; i++, j++) {
    const difference = a.charCodeAt(i) - b.charCodeAt(j);
    if (difference !== 0) return difference;
  }
  return 0;
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE;
}

function endOfDigits(text: string, from: number): number {
  let end = from;
  while (end < text.length && isDigit(text.charCodeAt(end))) end++;
  return end;
}
