/** A JSON value as a tree. A number in it is a button: it is charted. */

import { useState } from "preact/hooks";
import { counted, formatCount } from "../../format";
import { describePath, numberAt, type Step } from "../../topics/numbers";

const CHILDREN = 100;
const OPEN_DEPTH = 3;
const LONGEST_TEXT = 1000;

interface Props {
  readonly value: unknown;
  readonly charted: readonly Step[];
  readonly onChart: (path: readonly Step[]) => void;
}

export function JsonTree({ value, charted, onChart }: Props) {
  return (
    <div class="json">
      <Value value={value} path={[]} charted={describePath(charted)} onChart={onChart} />
    </div>
  );
}

interface ValueProps {
  readonly value: unknown;
  readonly path: readonly Step[];
  readonly charted: string;
  readonly onChart: (path: readonly Step[]) => void;
}

function Value({ value, path, charted, onChart }: ValueProps) {
  if (typeof value === "object" && value !== null) return <Branch value={value} path={path} charted={charted} onChart={onChart} />;
  const name = path.at(-1);
  return (
    <div class="json-leaf">
      {name !== undefined && <span class="json-key">{name}</span>}
      <Leaf value={value} path={path} charted={charted} onChart={onChart} />
    </div>
  );
}

function Leaf({ value, path, charted, onChart }: ValueProps) {
  const [isWhole, setWhole] = useState(false);
  const where = describePath(path);
  const text = JSON.stringify(value);
  if (typeof value === "number" || typeof value === "boolean" || !Number.isNaN(numberAt(value, []))) {
    return (
      <button
        type="button"
        class={`json-value json-${typeof value}`}
        aria-pressed={charted === where}
        aria-label={`${where}: ${text}, chart it`}
        title="Chart it"
        onClick={() => onChart(charted === where ? [] : path)}
      >
        {isRounded(value) && "≈ "}
        {text}
      </button>
    );
  }
  const isCut = text.length > LONGEST_TEXT && !isWhole;
  return (
    <span class={`json-value json-${value === null ? "null" : typeof value}`}>
      {isCut ? text.slice(0, LONGEST_TEXT) : text}
      {isCut && (
        <>
          {" … "}
          <button type="button" class="link" onClick={() => setWhole(true)}>
            all {counted(text.length, "character")}
          </button>
        </>
      )}
    </span>
  );
}

/** JSON may have more digits than a browser's numbers; the text of the payload has all of them. */
function isRounded(value: unknown): boolean {
  return typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
}

function Branch({ value, path, charted, onChart }: ValueProps & { readonly value: object }) {
  const [isOpen, setOpen] = useState(path.length < OPEN_DEPTH);
  const [most, setMost] = useState(CHILDREN);
  const isArray = Array.isArray(value);
  const keys: readonly Step[] = isArray ? Array.from({ length: value.length }, (_, i) => i) : Object.keys(value);
  const name = path.at(-1);
  const size = isArray ? counted(keys.length, "item") : counted(keys.length, "key");
  return (
    <details class="json-branch" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {name !== undefined && <span class="json-key">{name}</span>}
        <span class="soft">{isArray ? `[ ${size} ]` : `{ ${size} }`}</span>
      </summary>
      {isOpen && (
        <div class="json-children">
          {keys.slice(0, most).map((key) => (
            <Value
              key={key}
              value={(value as Record<Step, unknown>)[key]}
              path={[...path, key]}
              charted={charted}
              onChart={onChart}
            />
          ))}
          {keys.length > most && (
            <p class="caution">
              The first {formatCount(most)} of {size}.{" "}
              <button type="button" class="link" onClick={() => setMost(most * 10)}>
                Show more
              </button>
            </p>
          )}
        </div>
      )}
    </details>
  );
}
