/** A payload as text. */

import { useMemo, useState } from "preact/hooks";
import { counted, formatCount } from "../../format";
import { looseText } from "../../payload/kinds";

const SHOWN = 20_000; // characters
const MOST = 2_000_000; // more of them bring a browser to its knees

interface Props {
  readonly payload: Uint8Array;
  /** Otherwise it is bytes, some of which mean nothing as text. */
  readonly isText: boolean;
}

export function TextView({ payload, isText }: Props) {
  const [most, setMost] = useState(SHOWN);
  const text = useMemo(() => looseText(payload), [payload]);
  return (
    <>
      {!isText && <p class="caution">These bytes are not UTF-8 text; what means nothing is shown as �.</p>}
      <pre class="payload-text" tabIndex={0} aria-label="Payload as text">
        {text.slice(0, most)}
      </pre>
      {text.length > most && (
        <p class="caution">
          The first {formatCount(most)} of {counted(text.length, "character")}.{" "}
          {most < MOST ? (
            <button type="button" class="link" onClick={() => setMost(MOST)}>
              Show {text.length > MOST ? formatCount(MOST) : "all"}
            </button>
          ) : (
            "Save the payload to see the rest."
          )}
        </p>
      )}
    </>
  );
}
