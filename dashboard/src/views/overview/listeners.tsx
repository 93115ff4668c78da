/** Where the broker can be reached. */

import type { ListenerInfo } from "../../api/contract";
import { counted } from "../../format";

export function Listeners({ listeners }: { readonly listeners: readonly ListenerInfo[] }) {
  return (
    <section class="card" aria-label="Listeners">
      <h2>Listeners</h2>
      <ul class="plain">
        {listeners.map((listener) => (
          <li key={`${listener.address} ${listener.protocol}`} class="line">
            <code>{listener.address}</code>
            {!listener.address.startsWith(`${listener.protocol}://`) && <span class="tag">{listener.protocol}</span>}
            {listener.tls && <span class="tag">TLS</span>}
            <span class="soft push">{counted(listener.clients, "client")}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
