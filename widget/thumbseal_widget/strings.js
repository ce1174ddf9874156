/** Every text a person can see or hear. The last four tell what became of a vote. */
export const strings = {
  group: "Rate this answer",
  up: "Good answer",
  down: "Bad answer",
  sent: "Thanks",
  removed: "Vote removed",
  saved: "Saved, will be sent later",
  error: "Not accepted",
};
