/** A field with its label, and what is wrong with it: said where it is, and to screen readers. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface Attributes {
  readonly id: string;
  readonly "aria-invalid": boolean;
  readonly "aria-describedby": string;
}

interface Props {
  readonly label: string;
  readonly fault?: string | undefined;
  readonly children: (attributes: Attributes) => ComponentChildren;
}

export function Field({ label, fault, children }: Props) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, "aria-invalid": fault !== undefined, "aria-describedby": `${id}-fault` })}
      <p id={`${id}-fault`} class="field-fault" role="status">
        {fault}
      </p>
    </div>
  );
}
