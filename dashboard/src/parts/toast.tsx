/** A word about what was done, for some seconds; screen readers hear it too. */

import { signal } from "@preact/signals";

interface Toast {
  readonly id: number;
  readonly text: string;
  readonly isFault: boolean;
}

const SHOWN_MS = 5000;
const MOST = 3;
const toasts = signal<readonly Toast[]>([]);
let next = 0;

export function tell(text: string, isFault = false): void {
  const toast = { id: next++, text, isFault };
  toasts.value = [...toasts.value, toast].slice(-MOST);
  setTimeout(() => (toasts.value = toasts.value.filter((each) => each !== toast)), SHOWN_MS);
}

/** Say what went wrong. */
export function tellFault(error: unknown): void {
  tell(error instanceof Error ? error.message : String(error), true);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((toast) => (
        <p key={toast.id} class={toast.isFault ? "toast is-fault" : "toast"}>
          {toast.text}
        </p>
      ))}
    </div>
  );
}
