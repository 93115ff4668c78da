/** A list of the API that is read page by page, as far as somebody wants to see it. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Page } from "../api/contract";

const REFRESH_MS = 4000;

export interface Paged<T> {
  readonly items: readonly T[];
  readonly hasMore: boolean;
  readonly isLoading: boolean;
  readonly problem: string | null;
  readonly more: () => void;
  readonly refresh: () => void;
}

/** `ask` has to be the same function as long as the list is the same. A list of one page keeps itself fresh. */
export function usePaged<T>(ask: (after?: string) => Promise<Page<T>>): Paged<T> {
  const [items, setItems] = useState<readonly T[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const [isLoading, setLoading] = useState(true);
  const [problem, setProblem] = useState<string | null>(null);
  const pages = useRef(0);
  const run = useRef(0);

  const load = useCallback(
    async (after: string | undefined): Promise<void> => {
      const own = ++run.current;
      try {
        const page = await ask(after);
        if (own !== run.current) return; // another question was asked meanwhile
        setItems((former) => (after === undefined ? page.items : [...former, ...page.items]));
        setNext(page.next);
        setProblem(null);
        pages.current = after === undefined ? 1 : pages.current + 1;
      } catch (error) {
        if (own === run.current) setProblem(error instanceof Error ? error.message : String(error));
      }
      if (own === run.current) setLoading(false);
    },
    [ask],
  );
  useEffect(() => {
    setLoading(true);
    setItems([]);
    void load(undefined);
    const timer = setInterval(() => {
      // What somebody has read further in is not taken from under their eyes.
      if (!document.hidden && pages.current <= 1) void load(undefined);
    }, REFRESH_MS);
    return () => {
      clearInterval(timer);
      run.current++;
    };
  }, [load]);
  return {
    items,
    hasMore: next !== null,
    isLoading,
    problem,
    more: () => void load(next ?? undefined),
    refresh: () => void load(undefined),
  };
}
