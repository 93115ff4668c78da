/** Who is connected. */

import { useCallback, useState } from "preact/hooks";
import { formatAge, formatRate, formatShort } from "../../format";
import { usePage } from "../../page";
import { usePaged } from "../../parts/paged";
import { hasText, PagedList } from "../../parts/paged-list";

interface Props {
  readonly opened: string | null;
  readonly onOpen: (id: string) => void;
}

export function ClientList({ opened, onOpen }: Props) {
  const { api, link } = usePage();
  const list = usePaged(useCallback((after?: string) => api.clients(after), [api]));
  const [query, setQuery] = useState("");
  const shown = list.items.filter((client) => hasText(query, [client.client_id, client.bridge, client.user, client.address]));
  const now = Date.now();
  return (
    <PagedList list={list} one="client" query={query} onQuery={setQuery} shown={shown}>
      {(client) => (
        <li key={client.client_id}>
          <button type="button" class="entry client" aria-pressed={client.client_id === opened} onClick={() => onOpen(client.client_id)}>
            <span class="line client-who">
              <b class="name">{client.client_id}</b>
              {client.client_id === link.clientId && <span class="tag tag-online">this page</span>}
              {client.bridge !== null && <span class="tag">bridge {client.bridge}</span>}
              {client.user !== null && <span class="soft">{client.user}</span>}
            </span>
            <span class="line client-how">
              <span class="tag">MQTT {client.version}</span>
              {client.tls !== null && <span class="tag">TLS</span>}
              {client.queued > 0 && <span class="tag tag-refused">{formatShort(client.queued)} waiting</span>}
            </span>
            <span class="soft client-where">{client.address}</span>
            <span class="soft client-flow">
              {formatRate(client.rates.messages_received_per_second)} in, {formatRate(client.rates.messages_sent_per_second)} out
            </span>
            <span class="soft client-since">for {formatAge(Date.parse(client.connected), now)}</span>
          </button>
        </li>
      )}
    </PagedList>
  );
}
