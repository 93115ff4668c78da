/** The way of a phone to this page: its address, and a QR code of it. */

import { useState } from "preact/hooks";
import { CopyButton } from "../../parts/copy";
import { QrCode } from "./qr";
import { isLoopback } from "./targets";

/** `base`: the address by which the page was reached. */
export function Phone({ base }: { readonly base: string }) {
  const reached = new URL(base);
  const isHere = isLoopback(hostOf(reached));
  const [written, setWritten] = useState(isHere ? "" : base);
  const address = addressOf(written);
  return (
    <section class="card connect-phone" aria-label="This page on a phone">
      <h2>This page on a phone</h2>
      {address !== null && <QrCode text={address} label={`QR code of ${address}`} />}
      <label>
        Address
        <span class="with-button">
          <input
            type="url"
            inputMode="url"
            value={written}
            placeholder={`http://192.168.1.10:${reached.port || "80"}/`}
            spellcheck={false}
            autocapitalize="none"
            onInput={(event) => setWritten(event.currentTarget.value)}
          />
          {address !== null && <CopyButton text={() => address} what="the address of this page" />}
        </span>
      </label>
      {isHere ? (
        <p class="soft">
          {base} means the phone itself there. Write this machine's name or address in your network, and a code for it stands here. The
          broker has to listen there: <code>telex serve --http 0.0.0.0:{reached.port || "80"}</code>.
        </p>
      ) : (
        <p class="soft">
          {window.isSecureContext
            ? "Its browser offers to install it; then it opens like an app, and can notify."
            : "It can be looked at. To be installed and to notify, browsers want https://."}
        </p>
      )}
    </section>
  );
}

/** An address that leads somewhere from a phone; null: it is none. */
export function addressOf(text: string): string | null {
  const written = text.trim();
  if (written === "") return null;
  try {
    const address = new URL(/^https?:\/\//i.test(written) ? written : `http://${written}`);
    return isLoopback(hostOf(address)) ? null : address.href;
  } catch {
    return null;
  }
}

function hostOf(address: URL): string {
  return address.hostname.replace(/^\[|\]$/g, "");
}
