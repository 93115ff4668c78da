/** Are you sure? */

import { Dialog } from "../../parts/dialog";

interface Props {
  readonly title: string;
  readonly text: string;
  readonly action: string;
  readonly onConfirm: () => void;
  readonly onClose: () => void;
}

export function Confirm({ title, text, action, onConfirm, onClose }: Props) {
  return (
    <Dialog title={title} onClose={onClose}>
      <div class="body">
        <p>{text}</p>
        <div class="buttons">
          <button type="button" class="danger" onClick={onConfirm}>
            {action}
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </div>
    </Dialog>
  );
}
