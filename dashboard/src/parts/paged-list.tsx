/** What stands around every list of the API: a search, what went wrong, that there is more. */

import type { ComponentChildren } from "preact";
import { counted, formatCount } from "../format";
import { Icon } from "./icon";
import type { Paged } from "./paged";

interface Props<T> {
  readonly list: Paged<T>;
  readonly one: string;
  readonly query: string;
  readonly onQuery: (query: string) => void;
  readonly shown: readonly T[];
  readonly children: (item: T) => ComponentChildren;
}

export function PagedList<T>({ list, one, query, onQuery, shown, children }: Props<T>) {
  return (
    <>
      <div class="list-head">
        <label>
          <span class="hidden-label">Search {one}s</span>
          <input
            type="search"
            value={query}
            placeholder="Search"
            spellcheck={false}
            autocapitalize="none"
            onInput={(event) => onQuery(event.currentTarget.value)}
          />
        </label>
        <button type="button" class="icon-button" onClick={list.refresh} aria-label="Refresh" title="Refresh">
          <Icon name="refresh" />
        </button>
      </div>
      {list.problem !== null && (
        <p class="fault" role="alert">
          {list.problem}
        </p>
      )}
      <p class="soft" role="status">
        {list.isLoading && "Loading …"}
        {!list.isLoading && counted(shown.length, one)}
        {query !== "" && ` of ${formatCount(list.items.length)}`}
        {list.hasMore && ", and more"}
      </p>
      <ul class="plain entries">{shown.map(children)}</ul>
      {list.hasMore && (
        <button type="button" onClick={list.more}>
          Load more
        </button>
      )}
    </>
  );
}

/** Whether one of the texts has what is searched for, in small or large letters. */
export function hasText(query: string, texts: readonly (string | null | undefined)[]): boolean {
  const wanted = query.trim().toLowerCase();
  return texts.some((text) => text?.toLowerCase().includes(wanted));
}
