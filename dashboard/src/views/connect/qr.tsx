/** A QR code, as one path of an image: black on white in any theme, since that is what phones read. */

import { useMemo } from "preact/hooks";
import { encode } from "uqr";

const QUIET = 4; // modules of white around it, as the standard wants

export function QrCode({ text, label }: { readonly text: string; readonly label: string }) {
  const { size, path } = useMemo(() => pathOf(text), [text]);
  return (
    <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shape-rendering="crispEdges">
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}

/** The image's side in modules, and all black modules as one path. */
export function pathOf(text: string): { size: number; path: string } {
  const { data, size } = encode(text, { border: QUIET, ecc: "M" });
  let path = "";
  for (const [y, row] of data.entries()) {
    for (const [x, isBlack] of row.entries()) if (isBlack) path += `M${x} ${y}h1v1h-1z`;
  }
  return { size, path };
}
