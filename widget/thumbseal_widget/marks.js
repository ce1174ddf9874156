/** The attribute with an answer's token. */
export const MARK = "data-thumbseal-message";
/** What stands on a message whose text is still coming. */
export const BUSY = "[aria-busy=true],[data-thumbseal-streaming]";
export const BUSY_ATTRIBUTES = ["aria-busy", "data-thumbseal-streaming"];
