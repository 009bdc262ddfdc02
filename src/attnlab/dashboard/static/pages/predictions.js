export const title = "Predictions";

export async function render(root) {
  root.textContent = "not yet";
}
