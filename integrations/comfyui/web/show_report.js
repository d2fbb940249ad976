// Shows the report of "Check VAE" in the node, in a field that is neither typed into nor saved.
import { app } from "../../scripts/app.js";
import { ComfyWidgets } from "../../scripts/widgets.js";

const NAME = "vae_fidelity_report";

app.registerExtension({
  name: "vae-fidelity.report",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== "VaeFidelityCheck") return;
    const onExecuted = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      let field = this.widgets?.find((widget) => widget.name === NAME);
      if (!field) {
        field = ComfyWidgets.STRING(this, NAME, ["STRING", { multiline: true }], app).widget;
        field.serialize = false;
        field.options.serialize = false;
        const text = field.inputEl ?? field.element;
        if (text) {
          text.readOnly = true;
          text.style.fontFamily = "monospace";
          text.style.whiteSpace = "pre-wrap";
        }
        this.setSize([Math.max(this.size[0], 640), Math.max(this.size[1], 560)]);
      }
      field.value = [].concat(output?.text ?? []).join("\n");
      this.setDirtyCanvas?.(true, true);
    };
  },
});
