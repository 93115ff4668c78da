/** A payload as bytes. */

import { useMemo, useState } from "preact/hooks";
import { counted, formatCount } from "../../format";
import { countHexLines, hexLines } from "../../payload/hex";

const FEW = 64;
const MORE = 1024;

export function HexView({ payload }: { readonly payload: Uint8Array }) {
  const [most, setMost] = useState(FEW);
  const lines = useMemo(() => hexLines(payload, most), [payload, most]);
  const all = countHexLines(payload);
  return (
    <>
      <pre class="hex" tabIndex={0} aria-label="Payload as bytes">
        {lines.map((line) => (
          <span key={line.offset} class="hex-line">
            <span class="soft">{line.offset}</span> <span class="hex-bytes">{line.bytes}</span> <span class="hex-text">{line.text}</span>
            {"\n"}
          </span>
        ))}
      </pre>
      {all > most && (
        <p class="caution">
          The first {formatCount(most * 16)} of {counted(payload.length, "byte")}.{" "}
          <button type="button" class="link" onClick={() => setMost(most + MORE)}>
            Show {formatCount(Math.min(MORE * 16, payload.length - most * 16))} more
          </button>
        </p>
      )}
    </>
  );
}
