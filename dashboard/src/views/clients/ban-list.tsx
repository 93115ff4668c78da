/** Who is kept out. */

import { useCallback, useState } from "preact/hooks";
import type { Ban } from "../../api/contract";
import { formatMoment } from "../../format";
import { usePage } from "../../page";
import { usePaged } from "../../parts/paged";
import { hasText, PagedList } from "../../parts/paged-list";
import { tell, tellFault } from "../../parts/toast";
import { whoIsBanned } from "./words";

export function BanList() {
  const { api } = usePage();
  const list = usePaged(useCallback((after?: string) => api.bans(after), [api]));
  const [query, setQuery] = useState("");
  const shown = list.items.filter((ban) => hasText(query, [whoIsBanned(ban), ban.why]));
  const lift = async (ban: Ban): Promise<void> => {
    try {
      await api.unban(ban.id);
      tell(`The ban of ${whoIsBanned(ban)} was lifted.`);
      list.refresh();
    } catch (error) {
      tellFault(error);
    }
  };
  return (
    <PagedList list={list} one="ban" query={query} onQuery={setQuery} shown={shown}>
      {(ban) => (
        <li key={ban.id} class="entry-line">
          <div class="entry">
            <b class="name">{whoIsBanned(ban)}</b>
            <span class="line soft">
              <span>until {formatMoment(ban.until, Date.now())}</span>
              {ban.automatic && <span>by itself, after failed logins</span>}
              {ban.why !== "" && <span>{ban.why}</span>}
            </span>
          </div>
          <button type="button" onClick={() => void lift(ban)} aria-label={`Lift the ban of ${whoIsBanned(ban)}`}>
            Lift
          </button>
        </li>
      )}
    </PagedList>
  );
}
