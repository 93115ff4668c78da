/** Write a message and send it. */

import { useEffect, useState } from "preact/hooks";
import { counted, formatBytes } from "../../format";
import { usePage } from "../../page";
import { Tabs } from "../../parts/tabs";
import { tell } from "../../parts/toast";
import { route } from "../../router";
import { bytesOf, EMPTY, faultsOf, FORMATS, messageOf, type Draft, type Format } from "./draft";
import { Field } from "./field";
import { PropertiesForm } from "./properties-form";
import { answered, remember } from "./sent";
import { SentList } from "./sent-list";
import "./publish.css";

const FORMAT_TITLES: Readonly<Record<Format, string>> = { text: "Text", json: "JSON", hex: "Hex", base64: "Base64" };
const QOS_WORDS = ["0, at most once", "1, at least once", "2, exactly once"] as const;

export function PublishView() {
  const { link } = usePage();
  const asked = route.value.query.get("topic");
  const [draft, setDraft] = useState<Draft>({ ...EMPTY, topic: asked ?? "" });
  const [isTouched, setTouched] = useState(false);
  useEffect(() => {
    if (asked !== null) change({ topic: asked });
  }, [asked]);
  const change = (part: Partial<Draft>): void => setDraft((former) => ({ ...former, ...part }));
  const faults = faultsOf(draft);
  const isWrong = Object.keys(faults).length > 0;
  const size = bytesOf(draft).length;

  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    setTouched(true);
    if (isWrong) {
      // The first field that is wrong is where to go on.
      queueMicrotask(() => document.querySelector<HTMLElement>(".publish [aria-invalid='true']")?.focus());
      return;
    }
    const id = remember(draft);
    const receipt = await link.publish(messageOf(draft));
    answered(id, receipt);
    if (receipt.problem !== null) tell(receipt.problem, true);
    else tell(receipt.isNobodySubscribed ? "Published; nobody has subscribed to it." : "Published.");
  };

  return (
    <div class="publish">
      <header class="view-head">
        <h1>Publish</h1>
      </header>
      <div class="publish-columns">
        <form class="card publish-form" onSubmit={(event) => void send(event)} noValidate>
          <Field label="Topic" fault={isTouched ? faults.topic : undefined}>
            {(attributes) => (
              <input
                {...attributes}
                value={draft.topic}
                placeholder="home/temp/room1"
                spellcheck={false}
                autocapitalize="none"
                onInput={(event) => change({ topic: event.currentTarget.value })}
              />
            )}
          </Field>
          <div class="publish-format">
            <Tabs
              label="How the payload is written"
              tabs={FORMATS.map((id) => ({ id, title: FORMAT_TITLES[id] }))}
              chosen={draft.format}
              onChoose={(format) => change({ format })}
              controls="payload-field"
            />
            {draft.format === "json" && faults.payload === undefined && (
              <button
                type="button"
                class="link push"
                onClick={() => change({ payload: JSON.stringify(JSON.parse(draft.payload), null, 2) })}
              >
                Tidy up
              </button>
            )}
          </div>
          <div id="payload-field" role="tabpanel" aria-label={FORMAT_TITLES[draft.format]}>
            <Field label="Payload" fault={draft.payload !== "" || isTouched ? faults.payload : undefined}>
              {(attributes) => (
                <textarea
                  {...attributes}
                  rows={7}
                  value={draft.payload}
                  spellcheck={false}
                  autocapitalize="none"
                  onInput={(event) => change({ payload: event.currentTarget.value })}
                  onKeyDown={(event) => {
                    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void send(event);
                  }}
                />
              )}
            </Field>
            <p class="soft">
              {size === 0 && draft.retain ? "An empty retained message removes the one that the broker keeps." : formatBytes(size)}
            </p>
          </div>
          <div class="publish-how">
            <label>
              QoS
              <select value={draft.qos} onChange={(event) => change({ qos: Number(event.currentTarget.value) as 0 | 1 | 2 })}>
                {QOS_WORDS.map((words, qos) => (
                  <option key={qos} value={qos}>
                    {words}
                  </option>
                ))}
              </select>
            </label>
            <label class="check">
              <input type="checkbox" checked={draft.retain} onChange={(event) => change({ retain: event.currentTarget.checked })} />
              Retain: the broker keeps it for later subscribers
            </label>
          </div>
          <PropertiesForm draft={draft} faults={faults} onChange={change} />
          {isTouched && isWrong && (
            <p class="fault" role="alert">
              {counted(Object.keys(faults).length, "field")} to put right first.
            </p>
          )}
          <div class="buttons">
            <button type="submit" class="primary">
              Publish
            </button>
            <span class="soft with-keys">or Ctrl+Enter in the payload</span>
          </div>
        </form>
        <SentList onChoose={setDraft} />
      </div>
    </div>
  );
}
