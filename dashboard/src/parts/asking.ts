/** Asking the API again and again while something is shown. */

import { useEffect } from "preact/hooks";
import type { Api } from "../api/api";
import { usePage } from "../page";
import { tellFault } from "./toast";

/** Ask now and every `everyMs`, but not while nobody looks; `take` gets each answer. Neither may depend on what changes. */
export function useAsked<Answer>(ask: (api: Api) => Promise<Answer>, everyMs: number, take: (answer: Answer) => void): void {
  const { api } = usePage();
  useEffect(() => {
    let isOver = false;
    let isTold = false;
    const askOnce = async (): Promise<void> => {
      if (document.hidden) return;
      try {
        const answer = await ask(api);
        if (!isOver) take(answer);
      } catch (error) {
        if (!isTold && !isOver) tellFault(error);
        isTold = true; // once is enough: the overview itself says that the broker does not answer
      }
    };
    void askOnce();
    const timer = setInterval(() => void askOnce(), everyMs);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [api]);
}
