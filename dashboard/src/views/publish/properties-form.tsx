/** The properties of a message (MQTT 5, section 3.3.2.3). */

import type { UserProperty } from "../../link/link";
import { Icon } from "../../parts/icon";
import type { Draft, Faults } from "./draft";
import { Field } from "./field";

interface Props {
  readonly draft: Draft;
  readonly faults: Faults;
  readonly onChange: (part: Partial<Draft>) => void;
}

export function PropertiesForm({ draft, faults, onChange }: Props) {
  const setUser = (index: number, part: Partial<UserProperty>): void =>
    onChange({ user: draft.user.map((each, i) => (i === index ? { ...each, ...part } : each)) });
  return (
    <details class="properties">
      <summary>Properties</summary>
      <div class="properties-grid">
        <Field label="Content type">
          {(attributes) => (
            <input
              {...attributes}
              value={draft.contentType}
              placeholder="application/json"
              onInput={(event) => onChange({ contentType: event.currentTarget.value })}
            />
          )}
        </Field>
        <Field label="Expires after (seconds)" fault={faults.expiry}>
          {(attributes) => (
            <input
              {...attributes}
              inputMode="numeric"
              value={draft.expiry}
              onInput={(event) => onChange({ expiry: event.currentTarget.value })}
            />
          )}
        </Field>
        <Field label="Response topic" fault={faults.responseTopic}>
          {(attributes) => (
            <input
              {...attributes}
              value={draft.responseTopic}
              spellcheck={false}
              autocapitalize="none"
              onInput={(event) => onChange({ responseTopic: event.currentTarget.value })}
            />
          )}
        </Field>
        <Field label="Correlation data (hex)" fault={faults.correlationData}>
          {(attributes) => (
            <input
              {...attributes}
              value={draft.correlationData}
              spellcheck={false}
              autocapitalize="none"
              onInput={(event) => onChange({ correlationData: event.currentTarget.value })}
            />
          )}
        </Field>
      </div>
      {(draft.format === "text" || draft.format === "json") && (
        <label class="check">
          <input type="checkbox" checked={draft.isText} onChange={(event) => onChange({ isText: event.currentTarget.checked })} />
          Say that the payload is UTF-8 text (payload format indicator)
        </label>
      )}
      <fieldset class="user-properties">
        <legend>User properties</legend>
        {draft.user.map((property, index) => (
          <div key={index} class="user-property">
            <input
              value={property.name}
              aria-label={`Name of user property ${index + 1}`}
              placeholder="name"
              onInput={(event) => setUser(index, { name: event.currentTarget.value })}
            />
            <input
              value={property.value}
              aria-label={`Value of user property ${index + 1}`}
              placeholder="value"
              onInput={(event) => setUser(index, { value: event.currentTarget.value })}
            />
            <button
              type="button"
              class="icon-button"
              aria-label={`Remove user property ${index + 1}`}
              onClick={() => onChange({ user: draft.user.filter((_, i) => i !== index) })}
            >
              <Icon name="close" />
            </button>
          </div>
        ))}
        <button type="button" onClick={() => onChange({ user: [...draft.user, { name: "", value: "" }] })}>
          Add one
        </button>
      </fieldset>
    </details>
  );
}
