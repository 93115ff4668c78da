/** All topics that notify; each can be told to be quiet. */

import { useState } from "preact/hooks";
import type { Rule } from "../../notify/rules";
import { counted } from "../../format";
import { usePage } from "../../page";
import { Dialog } from "../../parts/dialog";
import { Icon } from "../../parts/icon";

const WORDS: Readonly<Record<Rule["when"], (bound: number) => string>> = {
  any: () => "each message",
  changed: () => "a change",
  above: (bound) => `above ${bound}`,
  below: (bound) => `below ${bound}`,
};

export function NotifyList() {
  const { notifier } = usePage();
  const [isOpen, setOpen] = useState(false);
  const rules = notifier.rules.value;
  if (rules.length === 0 && !isOpen) return null;
  return (
    <>
      <button type="button" class="link watched" onClick={() => setOpen(true)}>
        {counted(rules.length, "topic notifies", "topics notify")}
      </button>
      {isOpen && (
        <Dialog title="Notifications" onClose={() => setOpen(false)}>
          <div class="body">
            <ul class="plain">
              {rules.map((rule) => (
                <li key={rule.topic} class="line">
                  <code>{rule.topic}</code>
                  <span class="soft">{WORDS[rule.when](rule.bound)}</span>
                  <button
                    type="button"
                    class="icon-button push"
                    aria-label={`No longer notify of ${rule.topic}`}
                    onClick={() => notifier.remove(rule.topic)}
                  >
                    <Icon name="close" />
                  </button>
                </li>
              ))}
            </ul>
            {rules.length === 0 && <p class="soft">None.</p>}
            <div class="buttons">
              <button type="button" onClick={() => setOpen(false)}>
                Close
              </button>
            </div>
          </div>
        </Dialog>
      )}
    </>
  );
}
