/** Choose whether, and when, a topic notifies. */

import { useState } from "preact/hooks";
import type { When } from "../../notify/rules";
import { usePage } from "../../page";
import { Dialog } from "../../parts/dialog";
import { Icon } from "../../parts/icon";
import { tell } from "../../parts/toast";

const WHENS: readonly (readonly [When, string])[] = [
  ["any", "with each message"],
  ["changed", "when the value changes"],
  ["above", "when the number gets above"],
  ["below", "when the number gets below"],
];

export function NotifyButton({ topic }: { readonly topic: string }) {
  const { notifier } = usePage();
  const [isOpen, setOpen] = useState(false);
  const rule = notifier.ruleOf(topic);
  if (!notifier.isPossible) return null;
  return (
    <>
      <button type="button" aria-pressed={rule !== undefined} onClick={() => setOpen(true)}>
        <Icon name="bell" /> {rule === undefined ? "Notify me …" : "Notifies"}
      </button>
      {isOpen && <NotifyDialog topic={topic} onClose={() => setOpen(false)} />}
    </>
  );
}

function NotifyDialog({ topic, onClose }: { readonly topic: string; readonly onClose: () => void }) {
  const { notifier } = usePage();
  const rule = notifier.ruleOf(topic);
  const [when, setWhen] = useState<When>(rule?.when ?? "changed");
  const [bound, setBound] = useState(String(rule?.bound ?? ""));
  const hasBound = when === "above" || when === "below";
  const isWrong = hasBound && (bound.trim() === "" || !Number.isFinite(Number(bound)));
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (isWrong) return;
    const isAllowed = await notifier.add({ topic, when, bound: hasBound ? Number(bound) : 0 });
    if (isAllowed) tell(`${topic} notifies as long as this page is open, also in the background.`);
    else tell("The browser does not let this page notify: its settings for this site decide.", true);
    onClose();
  };
  return (
    <Dialog title="Notify me" onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <p>
          Of <code>{topic}</code>
        </p>
        <label>
          When
          <select value={when} onChange={(event) => setWhen(event.currentTarget.value as When)}>
            {WHENS.map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </label>
        {hasBound && (
          <label>
            Number
            <input inputMode="decimal" value={bound} aria-invalid={isWrong} onInput={(event) => setBound(event.currentTarget.value)} />
          </label>
        )}
        <div class="buttons">
          <button type="submit" class="primary" disabled={isWrong}>
            Notify me
          </button>
          {rule !== undefined && (
            <button
              type="button"
              onClick={() => {
                notifier.remove(topic);
                onClose();
              }}
            >
              No longer
            </button>
          )}
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}
