# Sourced on every node right before `ray start`: lets Ray find this package, and asks it to confirm the node.
# `ray start` then runs accel_scaling.boot.start_hook before it detects anything.

_accel_bundle="$HOME/.accel_scaling/bundle"
# A start that ends without a verdict (NoVerdict) must not show the one of an earlier start.
rm -f "$HOME/.accel_scaling/verdict.json"
_accel_ray=$(command -v ray) || {
    echo "accel_scaling: there is no 'ray' on this node's PATH; install it in the image or in setup_commands" >&2
    return 3
}
# The Python that runs ray, from its script's first line: the node may have others.
ACCEL_SCALING_PYTHON=$(sed -n '1s/^#! *//p' "$_accel_ray")
case "$ACCEL_SCALING_PYTHON" in
    */python*) ;;
    *) ACCEL_SCALING_PYTHON=python3 ;;
esac
export ACCEL_SCALING_PYTHON
export PYTHONPATH="$_accel_bundle${PYTHONPATH:+:$PYTHONPATH}"
export RAY_START_HOOK=accel_scaling.boot.start_hook.run

# For people and `ray exec` on this node: the command, and `import accel_scaling` in their drivers.
cat > "$HOME/.accel_scaling/env.sh" <<END
export ACCEL_SCALING_PYTHON="$ACCEL_SCALING_PYTHON"
case ":\$PYTHONPATH:" in *":$_accel_bundle:"*) ;; *)
    export PYTHONPATH="$_accel_bundle\${PYTHONPATH:+:\$PYTHONPATH}" PATH="$_accel_bundle/bin:\$PATH" ;;
esac
END
_accel_line=". \"\$HOME/.accel_scaling/env.sh\"  # accel_scaling"
grep -qsxF "$_accel_line" "$HOME/.bashrc" || printf '%s\n' "$_accel_line" >> "$HOME/.bashrc"
unset _accel_bundle _accel_ray _accel_line
