/** A button that copies a text, and a block of code that has one. */

import { Icon } from "./icon";
import { tell } from "./toast";

export function CopyButton({ text, what }: { readonly text: () => string; readonly what: string }) {
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text());
      tell(`Copied: ${what}`);
    } catch {
      // Browsers allow it on https:// and on this machine only.
      tell("The browser does not let the page copy; select the text and copy it by hand.", true);
    }
  };
  return (
    <button type="button" class="icon-button" onClick={() => void copy()} aria-label={`Copy ${what}`} title={`Copy ${what}`}>
      <Icon name="copy" />
    </button>
  );
}

export function Code({ text, what }: { readonly text: string; readonly what: string }) {
  return (
    <div class="code">
      <pre tabIndex={0} aria-label={what}>
        {text}
      </pre>
      <CopyButton text={() => text} what={what} />
    </div>
  );
}
